r"""Reward for questions on videos: the right option or count, and the format-and-length reward of TinyLLaVA-Video-R1.

Published rule (arXiv 2504.09641, section 3.2), with acc 1 or 0 and the thinking's length in characters::

    F = 0.5 + 0.5 · min(length / 1200, 1)   if the response is one <think>…</think> and one <answer>…</answer>, else 0
    R = acc + (2 · acc − 1) · F;  −2 where that is 0, which is a wrong answer without the format

Longer thinking earns more where the answer is right and costs more where it is wrong. ``combination: weighted`` is the
other rewards' sum of accuracy and format instead, which leaves length to the advantage: choose it for LIPO.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lipo.common import option
from reward_fns import counting_yes_no, multiple_choice
from reward_fns._options import RewardOptions
from reward_fns._score import score_response, weighted
from reward_fns._verdict import Verdict


@dataclass(frozen=True)
class VideoOptions(RewardOptions):
    """Settings of :mod:`reward_fns.video`."""

    answer_style: str = option(
        "tag",
        help="Where the final answer stands: the last `\\boxed{}`; the last `<answer>` tag; or `plain`: a box, else a "
        "tag, else the last line.",
        choices=("boxed", "tag", "plain"),
    )
    max_repetition: float = option(
        1.0,
        help="As for the other rewards, but off, as published; 0.5 keeps loops from earning the length reward.",
        minimum=0.0,
        maximum=1.0,
    )
    answers: str = option(
        "multiple_choice",
        help="What the questions ask for: the check of that name.",
        choices=("multiple_choice", "counting_yes_no"),
    )
    combination: str = option(
        "signed",
        help="`signed`, as published: from -2 to 2, longer thinking earns more; `weighted`: accuracy and format as in "
        "the other rewards, for LIPO.",
        choices=("signed", "weighted"),
    )
    full_length: int = option(
        1200, help="`signed` only: characters of thinking from which the length earns no more.", minimum=1
    )
    unformatted_wrong: float = option(
        -2.0, help="`signed` only: reward of a wrong answer without the format.", maximum=0.0
    )


def format_and_length(response: str, well_formed: bool, options: VideoOptions) -> float:
    """Compute F: 0 without the format, else 0.5 to 1 by the length of the thinking.

    Args:
        response: Decoded text of the policy; hostile.
        well_formed: Whether it keeps the format.
        options: ``think_tag`` and ``full_length`` are used.

    Example:
        >>> format_and_length("<think>" + 300 * "a" + "</think><answer>B</answer>", True, VideoOptions())
        0.625
    """
    if not well_formed:
        return 0.0
    _, _, rest = response.partition(f"<{options.think_tag}>")
    thought, closed, _ = rest.partition(f"</{options.think_tag}>")
    length = len(thought.strip()) if options.think_tag and closed else 0
    return 0.5 + 0.5 * min(length / options.full_length, 1.0)


def _combine(result: Verdict, response: str, well_formed: bool, options: VideoOptions) -> float:
    if options.combination == "weighted":
        return weighted(result, response, well_formed, options)
    accuracy = float(result.correct)
    if not accuracy and not well_formed:
        return options.unformatted_wrong
    return accuracy + (2.0 * accuracy - 1.0) * format_and_length(response, well_formed, options)


def check(
    answer: str,
    ground_truth: Any,
    options: VideoOptions | None = None,
    extra_info: Mapping[str, Any] | None = None,
) -> Verdict:
    """Compare a final answer with the ground truth, by :mod:`reward_fns.multiple_choice` or as ``answers`` says.

    Args:
        answer: Final answer, without its tag; hostile.
        ground_truth: As that check takes it.
        options: ``answers`` is used.
        extra_info: ``options`` or ``choices``: texts of the options of a multiple-choice question.

    Returns:
        The verdict; similarity is 1.0 or 0.0.

    Raises:
        LipoError: The ground truth is none that the check takes.

    Example:
        >>> check("(B)", "B").correct, check("two", 2, VideoOptions(answers="counting_yes_no")).correct
        (True, True)
    """
    options = options or VideoOptions()
    family = counting_yes_no if options.answers == "counting_yes_no" else multiple_choice
    return family.check(answer, ground_truth, options, extra_info)


def compute_score(
    data_source: str, solution_str: str, ground_truth: Any, extra_info: dict[str, Any] | None = None, **kwargs: Any
) -> dict[str, Any]:
    r"""Score a response for verl: ``reward.custom_reward_function.path=pkg://reward_fns.video``.

    Args:
        data_source: Not used.
        solution_str: Decoded response of the policy.
        ground_truth: As the check chosen by ``answers`` takes it.
        extra_info: ``options`` or ``choices``: texts of the options.
        **kwargs: Keys of :class:`VideoOptions`, from ``reward_kwargs``.

    Returns:
        ``score``, ``acc``, ``similarity``, ``format``, ``repetition``, ``unparsed``, ``timeout``, ``status``, ``pred``;
        ``score`` lies in [-2, 2], or in [0, 1] with ``combination: weighted``.

    Raises:
        LipoError: No or a wrong ground truth, or an invalid setting.

    Example:
        >>> compute_score("nextqa", "<think>a dog</think><answer>B</answer>", "B", full_length=10)["score"]
        1.75
        >>> compute_score("nextqa", "<think>a dog</think><answer>C</answer>", "B", full_length=10)["score"]
        -0.75
        >>> compute_score("nextqa", "it is C", "B")["score"]
        -2.0
    """
    return score_response(check, VideoOptions, solution_str, ground_truth, extra_info, kwargs, _combine)
