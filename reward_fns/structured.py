r"""Reward for charts, tables and documents: the final answer is the same number, date, list or text.

The relaxed accuracy of ChartQA (Masry et al. 2022, arXiv 2203.10244, section 5) allows numbers to deviate by 5 %:
``reward_kwargs: {tolerance: 0.05}``. The default is exact.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from reward_fns._dates import parse_date
from reward_fns._golds import as_texts
from reward_fns._latex import clean_latex, without_stop
from reward_fns._options import StructuredOptions
from reward_fns._quantity import Quantity, parse_quantity, same_quantity
from reward_fns._score import score_response
from reward_fns._text import plain
from reward_fns._verdict import Status, Verdict, verdict

_TEXT = re.compile(r"\\text\s*\{([^{}]*)\}")
_SUFFIX = re.compile(r"(?<=\d)\s?([kKMB])(?=\s*\Z)")
_SUFFIXES = {"k": " thousand", "K": " thousand", "M": " million", "B": " billion"}
_QUOTES = " \"'`"
_RANGE = re.compile(r"(?:between |from )?(.*?\S)\s*(?:-|~|\bto\b|\bthrough\b|\band\b)\s*(\S.*)", re.DOTALL)
_LIST = re.compile(r"\s*(?:[;|\n]|,(?!\d{3}(?!\d))|,\s|\s(?:and|&)\s)\s*(?:and\s+)?")
_DASH = re.compile(r"\s*-\s*")
_BRACES = str.maketrans("", "", "{}")
_LABEL = re.compile(r"\(([a-z])\)")
_YEAR = re.compile(r"[12]\d{3}", re.ASCII)
_MAX_ITEMS = 128


@functools.lru_cache(maxsize=4096)
def _normalise(text: str) -> str | None:
    cleaned = clean_latex(text)
    if cleaned is None:
        return None
    return without_stop(_TEXT.sub(r"\1", cleaned).strip(_QUOTES)).strip(_QUOTES)


def _quantity(text: str) -> Quantity | None:
    return parse_quantity(_SUFFIX.sub(lambda match: _SUFFIXES[match.group(1)], text))


def _range(text: str) -> tuple[Quantity, Quantity] | None:
    match = _RANGE.fullmatch(text)
    low, high = (_quantity(match.group(1)), _quantity(match.group(2))) if match else (None, None)
    if low is None or high is None or low.value > high.value:
        return None
    # 10-20 cm: what stands behind the second belongs to both.
    return low._replace(unit=low.unit or high.unit, percent=low.percent or high.percent), high


def _same_number(gold_text: str, gold: Quantity, answer: Quantity, options: StructuredOptions) -> bool:
    exact = options.exact_years and _YEAR.fullmatch(gold_text) is not None
    return same_quantity(gold, answer, Fraction(0) if exact else Fraction(str(options.tolerance)))


def _tight(text: str) -> str:
    """Unify what charts write either way: 3 - 5, R^2_{t,h} without its braces, the label (b) of a part."""
    # With commands braces hold arguments apart: \frac{1}{12} is not \frac{11}{2}.
    text = plain(text if "\\" in text else text.translate(_BRACES))
    label = _LABEL.fullmatch(text)
    return label.group(1) if label else _DASH.sub("-", text)


def _same_item(gold: str, answer: str, options: StructuredOptions) -> bool:
    tight = _tight(gold)
    if tight == _tight(answer):
        return bool(tight) or gold == answer
    date = parse_date(gold.casefold())
    if date is not None:
        return date == parse_date(answer.casefold())
    gold_range = _range(gold)
    if gold_range is not None:
        answer_range = _range(answer)
        return answer_range is not None and all(map(same_quantity, gold_range, answer_range))
    left, right = _quantity(gold), _quantity(answer)
    return left is not None and right is not None and _same_number(gold, left, right, options)


def _items(text: str) -> list[str]:
    """Split a list as tables and programs write it."""
    inner = text
    if text.startswith("[") and text.endswith("]"):
        try:
            values = json.loads(text)
            if all(isinstance(value, (str, int, float)) for value in values):
                return [str(value) for value in values]
        except (ValueError, RecursionError):
            pass
        inner = text[1:-1]
    items = [item.strip(_QUOTES) for item in _LIST.split(inner)]
    return items if all(items) else [text]


def _same_items(gold: Sequence[str], answer: Sequence[str], options: StructuredOptions) -> bool:
    if len(gold) != len(answer) or len(gold) > _MAX_ITEMS:
        return False
    left = list(answer)
    for item in gold:
        found = next((i for i, candidate in enumerate(left) if _same_item(item, candidate, options)), None)
        if found is None:
            return False
        del left[found]
    return True


def check(
    answer: str,
    ground_truth: Any,
    options: StructuredOptions | None = None,
    extra_info: Mapping[str, Any] | None = None,
) -> Verdict:
    """Compare a final answer with the ground truth.

    Numbers are compared by value (thousands, percent, currencies, units, magnitude words, number words), dates by day,
    ranges by their ends, lists item by item in any order, the rest as text without case; the label (b) is b, and braces
    around an index do not count.

    Args:
        answer: Final answer, without its box; hostile.
        ground_truth: Text or number; a list is one answer of several items.
        options: Tolerance for numbers.
        extra_info: Not used.

    Returns:
        The verdict; similarity is 1.0 or 0.0.

    Raises:
        LipoError: The ground truth is empty or of an unknown type.

    Example:
        >>> check("March 5, 2024", "2024-03-05").correct, check("$1.2 million", 1200000).correct
        (True, True)
    """
    options = options or StructuredOptions()
    golds = [_normalise(text) for text in as_texts(ground_truth)]
    found = _normalise(answer)
    if not found or not all(golds):
        return verdict(Status.UNPARSED)
    texts = [gold for gold in golds if gold]
    if len(texts) == 1:
        if _same_item(texts[0], found, options):
            return verdict(Status.EQUAL)
        texts = _items(texts[0])
    same = _same_items(texts, _items(found), options)
    if not same and "\n" in answer.strip():
        # One item a line.
        lines = [_normalise(line) for line in answer.splitlines() if line.strip()]
        same = _same_items(texts, [line for line in lines if line], options) if all(lines) else False
    return verdict(Status.EQUAL if same else Status.DIFFERENT)


def compute_score(
    data_source: str, solution_str: str, ground_truth: Any, extra_info: dict[str, Any] | None = None, **kwargs: Any
) -> dict[str, Any]:
    r"""Score a response for verl: ``reward.custom_reward_function.path=pkg://reward_fns.structured``.

    Args:
        data_source: Not used.
        solution_str: Decoded response of the policy.
        ground_truth: Text or number; a list is one answer of several items.
        extra_info: Not used.
        **kwargs: Keys of :class:`reward_fns.StructuredOptions`, from ``reward_kwargs``.

    Returns:
        ``score``, ``acc``, ``similarity``, ``format``, ``repetition``, ``unparsed``, ``timeout``, ``status``, ``pred``.

    Raises:
        LipoError: No ground truth, or an invalid setting.

    Example:
        >>> compute_score("chart", "<think>A=8</think>\\boxed{8.0}", 8)["score"]
        1.0
    """
    return score_response(check, StructuredOptions, solution_str, ground_truth, extra_info, kwargs)
