r"""Reward for multiple-choice questions: the answer names the right option, by letter or by its text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lipo.common import LipoError
from reward_fns._choice import LETTERS, option_texts, read_choice
from reward_fns._golds import as_texts
from reward_fns._latex import clean_latex
from reward_fns._options import RewardOptions
from reward_fns._score import score_response
from reward_fns._verdict import Status, Verdict, verdict


def _gold_letter(ground_truth: Any, options: list[str]) -> str:
    texts = as_texts(ground_truth)
    # Some data sets count options from 0.
    if isinstance(ground_truth, int) and not isinstance(ground_truth, bool) and 0 <= ground_truth < len(options):
        return LETTERS[ground_truth]
    letter = read_choice(clean_latex(texts[0]) or "", options) if len(texts) == 1 else None
    if letter is None:
        raise LipoError(
            f"the ground truth {str(ground_truth)[:80]!r} names no option",
            "store a letter, an index from 0, or the text of one of extra_info['options']",
        )
    return letter


def check(
    answer: str,
    ground_truth: Any,
    options: RewardOptions | None = None,
    extra_info: Mapping[str, Any] | None = None,
) -> Verdict:
    r"""Compare the option that an answer names with the right one.

    Args:
        answer: Final answer, without its box; hostile. ``B``, ``(b)``, ``B. 12 cm``, ``Option B``, or the text of
            exactly one option. Several letters, or a letter with another option's text, name none.
        ground_truth: A letter, an index from 0, or the text of an option.
        options: Not used by this check.
        extra_info: ``options`` or ``choices``: texts of the options, a list or a mapping by letter; without them, only
            letters A to J are known.

    Returns:
        The verdict; similarity is 1.0 or 0.0.

    Raises:
        LipoError: The ground truth names no option.

    Example:
        >>> check("12 cm", "B", None, {"options": ["9 cm", "12 cm"]}).correct
        True
    """
    texts = [clean_latex(text) or "" for text in option_texts(extra_info)]
    gold = _gold_letter(ground_truth, texts)
    cleaned = clean_latex(answer)
    letter = read_choice(cleaned, texts) if cleaned else None
    if letter is None:
        return verdict(Status.UNPARSED)
    return verdict(Status.EQUAL if letter == gold else Status.DIFFERENT)


def compute_score(
    data_source: str, solution_str: str, ground_truth: Any, extra_info: dict[str, Any] | None = None, **kwargs: Any
) -> dict[str, Any]:
    r"""Score a response for verl: ``reward.custom_reward_function.path=pkg://reward_fns.multiple_choice``.

    Args:
        data_source: Not used.
        solution_str: Decoded response of the policy.
        ground_truth: A letter, an index from 0, or the text of an option.
        extra_info: ``options`` or ``choices``: texts of the options.
        **kwargs: Keys of :class:`reward_fns.RewardOptions`, from ``reward_kwargs``.

    Returns:
        ``score``, ``acc``, ``similarity``, ``format``, ``repetition``, ``unparsed``, ``timeout``, ``status``, ``pred``.

    Raises:
        LipoError: No or a wrong ground truth, or an invalid setting.

    Example:
        >>> compute_score("quiz", "<think>not A</think>\\boxed{B}", "B")["score"]
        1.0
    """
    return score_response(check, RewardOptions, solution_str, ground_truth, extra_info, kwargs)
