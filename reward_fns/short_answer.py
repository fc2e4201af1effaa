r"""Check for short answers that may be given in several ways: :mod:`reward_fns.structured` for each alternative."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reward_fns import structured
from reward_fns._golds import as_texts
from reward_fns._options import StructuredOptions
from reward_fns._score import score_response
from reward_fns._verdict import Status, Verdict


def check(
    answer: str,
    ground_truth: Any,
    options: StructuredOptions | None = None,
    extra_info: Mapping[str, Any] | None = None,
) -> Verdict:
    """Compare a final answer with alternatives.

    Args:
        answer: Final answer, without its box; hostile.
        ground_truth: Text or number; a list holds alternatives, one of which must be met.
        options: Tolerance for numbers.
        extra_info: Not used.

    Returns:
        The verdict; similarity is 1.0 or 0.0.

    Raises:
        LipoError: The ground truth is empty or of an unknown type.

    Example:
        >>> check("24/7", ["3.429", "24/7"]).correct, check("3.5", ["3.429", "24/7"]).correct
        (True, False)
    """
    verdicts = [structured.check(answer, gold, options, extra_info) for gold in as_texts(ground_truth)]
    return next((verdict for verdict in verdicts if verdict.status is Status.EQUAL), verdicts[-1])


def compute_score(
    data_source: str, solution_str: str, ground_truth: Any, extra_info: dict[str, Any] | None = None, **kwargs: Any
) -> dict[str, Any]:
    r"""Score a response for verl: ``reward.custom_reward_function.path=pkg://reward_fns.short_answer``.

    Args:
        data_source: Not used.
        solution_str: Decoded response of the policy.
        ground_truth: Text or number; a list holds alternatives.
        extra_info: Not used.
        **kwargs: Keys of :class:`reward_fns.StructuredOptions`, from ``reward_kwargs``.

    Returns:
        ``score``, ``acc``, ``similarity``, ``format``, ``repetition``, ``unparsed``, ``timeout``, ``status``, ``pred``.

    Raises:
        LipoError: No ground truth, or an invalid setting.

    Example:
        >>> compute_score("mmmu", "<think>…</think>\\boxed{24/7}", ["3.429", "24/7"])["acc"]
        1.0
    """
    return score_response(check, StructuredOptions, solution_str, ground_truth, extra_info, kwargs)
