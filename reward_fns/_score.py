"""From a response to verl's score dictionary: extraction, check, format and weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from lipo.common import LipoError
from reward_fns._extract import extract_answer
from reward_fns._format import follows_format
from reward_fns._options import Options, RewardOptions, parse_options
from reward_fns._reflection import find_reflections
from reward_fns._repetition import repeated_share
from reward_fns._verdict import Status, Verdict, verdict

Check = Callable[[str, Any, Any, Mapping[str, Any] | None], Verdict]
Combine = Callable[[Verdict, str, bool, Any], float]
"""``(verdict, response, whether it keeps the format, options) -> score``."""

_PREDICTION_CHARS = 64


def _printable(answer: str | None) -> str:
    # verl writes it to JSON files, where a lone surrogate cannot be encoded.
    return "" if answer is None else answer[:_PREDICTION_CHARS].encode("utf-8", "replace").decode("utf-8")


def weighted(result: Verdict, response: str, well_formed: bool, options: RewardOptions) -> float:
    """Combine similarity and format: ``(1 - w) · similarity + w · format``, ``w = format_weight``."""
    weight = options.format_weight
    return (1.0 - weight) * result.similarity + weight * well_formed


def score_response(
    check: Check,
    cls: type[Options],
    response: str,
    ground_truth: Any,
    extra_info: Mapping[str, Any] | None,
    kwargs: Mapping[str, Any],
    combine: Combine = weighted,
) -> dict[str, Any]:
    r"""Score one response.

    Args:
        check: Compares the final answer with the ground truth: ``check(answer, ground_truth, options, extra_info)``.
        cls: The options that ``check`` takes.
        response: Decoded text of the policy; hostile.
        ground_truth: From the data set.
        extra_info: Further columns of the row.
        kwargs: Keys of ``cls``.
        combine: Makes the reward of accuracy and format.

    Returns:
        The same keys for every response, as verl requires of a batch. Numbers become validation metrics:
        ``score`` the reward; ``acc`` 1.0 if right; ``similarity`` the accuracy part of the reward; ``format`` 1.0 if
        kept; ``repetition`` the repeated share of the response; ``unparsed`` and ``timeout`` 1.0 if that is the
        status; ``reflections`` with ``count_reflections``. Strings are skipped by verl's statistics: ``status``, and
        ``pred``, by which verl takes majority votes.

    Raises:
        LipoError: The ground truth is missing, or a setting is wrong.
    """
    options = parse_options(cls, kwargs)
    if ground_truth is None:
        raise LipoError("a row has no ground truth", "fill reward_model.ground_truth in the data set")
    if not isinstance(response, str):
        raise LipoError(f"the response is {type(response).__name__}, not text", "pass the decoded response")
    answer, well_formed, repetition, result = None, False, 0.0, verdict(Status.TOO_LONG)
    if len(response) <= options.max_response_chars:
        answer, repetition = extract_answer(response, options), repeated_share(response)
        well_formed = follows_format(response, options) and repetition <= options.max_repetition
        if answer is None:
            result = verdict(Status.UNPARSED)
        elif len(answer) <= options.max_answer_chars:
            result = check(answer, ground_truth, options, extra_info)
    scored = {
        "score": combine(result, response, well_formed, options),
        "acc": float(result.correct),
        "similarity": result.similarity,
        "format": float(well_formed),
        "repetition": repetition,
        "unparsed": float(result.status is Status.UNPARSED),
        "timeout": float(result.status is Status.TIMEOUT),
        "status": str(result.status),
        "pred": _printable(answer),
    }
    if options.count_reflections:
        scored["reflections"] = float(len(find_reflections(response)))
    return scored
