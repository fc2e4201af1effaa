"""Check for text that the final answer must contain: the rule of OCRBench (Liu et al. 2024, arXiv 2305.07895)."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lipo.common import option
from reward_fns._golds import as_texts
from reward_fns._options import OcrOptions
from reward_fns._score import score_response
from reward_fns._text import clean_characters
from reward_fns._verdict import Status, Verdict, verdict

_FIRST_CJK = "\u2e80"
_WITHIN_NUMBERS = ".,"


@dataclass(frozen=True)
class ContainsOptions(OcrOptions):
    """Settings of :mod:`reward_fns.contains`."""

    whole_words: bool = option(True, help="Whether '5' within '15', or 'art' within 'party', does not count.")


def _normalise(text: str, options: ContainsOptions) -> str | None:
    cleaned = clean_characters(text)
    if cleaned is None:
        return None
    cleaned = unicodedata.normalize("NFKC", cleaned)
    if not options.case_sensitive:
        cleaned = cleaned.casefold()
    return ("" if options.ignore_spaces else " ").join(cleaned.split())


def _joined(left: str, right: str) -> bool:
    """Whether two neighbouring characters belong to one word; scripts without spaces have no such words."""
    return left.isalnum() and right.isalnum() and left < _FIRST_CJK and right < _FIRST_CJK


def _cut(text: str, start: int, end: int) -> bool:
    """Whether ``text[start:end]`` is cut out of a longer word or number."""
    before, after = text[:start][-2:], text[end : end + 2]
    if before and _joined(before[-1], text[start]):
        return True
    if after and _joined(text[end - 1], after[0]):
        return True
    if text[start].isdigit() and len(before) == 2 and before[1] in _WITHIN_NUMBERS and before[0].isdigit():
        return True
    return text[end - 1].isdigit() and len(after) == 2 and after[0] in _WITHIN_NUMBERS and after[1].isdigit()


def _contains(text: str, part: str, whole_words: bool) -> bool:
    start = text.find(part)
    while start >= 0:
        if not whole_words or not _cut(text, start, start + len(part)):
            return True
        start = text.find(part, start + 1)
    return False


def check(
    answer: str,
    ground_truth: Any,
    options: ContainsOptions | None = None,
    extra_info: Mapping[str, Any] | None = None,
) -> Verdict:
    """Look for the ground truth in the final answer.

    Args:
        answer: Final answer, without its box; hostile.
        ground_truth: Text or number; a list holds alternatives.
        options: Case, spaces and words.
        extra_info: Not used.

    Returns:
        The verdict; similarity is 1.0 or 0.0.

    Raises:
        LipoError: The ground truth is empty or of an unknown type.

    Example:
        >>> check("the sign says Exit", "EXIT").correct, check("15", "5").correct
        (True, False)
    """
    options = options or ContainsOptions()
    found = _normalise(answer, options)
    if not found:
        return verdict(Status.UNPARSED)
    golds = [_normalise(text, options) or text for text in as_texts(ground_truth)]
    same = any(_contains(found, gold, options.whole_words) for gold in golds)
    return verdict(Status.EQUAL if same else Status.DIFFERENT)


def compute_score(
    data_source: str, solution_str: str, ground_truth: Any, extra_info: dict[str, Any] | None = None, **kwargs: Any
) -> dict[str, Any]:
    r"""Score a response for verl: ``reward.custom_reward_function.path=pkg://reward_fns.contains``.

    Args:
        data_source: Not used.
        solution_str: Decoded response of the policy.
        ground_truth: Text or number; a list holds alternatives.
        extra_info: Not used.
        **kwargs: Keys of :class:`ContainsOptions`, from ``reward_kwargs``.

    Returns:
        ``score``, ``acc``, ``similarity``, ``format``, ``repetition``, ``unparsed``, ``timeout``, ``status``, ``pred``.

    Raises:
        LipoError: No ground truth, or an invalid setting.

    Example:
        >>> compute_score("ocrbench", "<think>…</think>\\boxed{It reads 'Cafe Rio'}", ["cafe rio"])["acc"]
        1.0
    """
    return score_response(check, ContainsOptions, solution_str, ground_truth, extra_info, kwargs)
