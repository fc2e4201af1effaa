"""Numbers with what belongs to them: percent sign, currency, magnitude word, unit."""

from __future__ import annotations

import functools
import re
from fractions import Fraction
from typing import NamedTuple

from reward_fns._number import match_number, parse_cjk_number, parse_number_words
from reward_fns._units import Unit, is_counted, parse_unit


class Quantity(NamedTuple):
    """A number as it was written."""

    value: Fraction
    """The bare number: 50 for ``50%``."""
    step: Fraction
    """One unit in the last place, if it is a decimal; else 0."""
    percent: bool
    unit: Unit | None


_MAGNITUDES = {
    "thousand": 10**3,
    "million": 10**6,
    "mil": 10**6,
    "mn": 10**6,
    "billion": 10**9,
    "bn": 10**9,
    "trillion": 10**12,
    "千": 10**3,
    "万": 10**4,
    "亿": 10**8,
}
_MAGNITUDE = re.compile(rf"\s*(?:\\text\s*\{{\s*)?({'|'.join(_MAGNITUDES)})s?(?![a-zA-Z])\.?\s*\}}?", re.IGNORECASE)
_PERCENT = re.compile(r"\s*(?:\\text\s*\{\s*)?(?:%|percent(?:age(?: points?)?)?|per cent|pct)\.?\s*\}?", re.IGNORECASE)
_PREFIX = re.compile(r"([+-]?)\s*(\\\$|US\\?\$|\$|€|£|¥|₹|₩|USD|EUR|GBP|Rs\.?)\s*(?=[\d.(+-])")
# A single letter glued to a number is a variable (5m), and so are letters that are no unit (2ab, 10th).
_GLUED_LETTER = re.compile(r"[a-zA-Z](?![a-zA-Z])")
_SECOND_PART = re.compile(r"([^\d,;]{1,24}?)\s*(?:and\s+)?(\d[^,;]{1,40})")
_SIGNIFICANT = 10**5
"""A decimal may stand for another number if it holds that many units in its last place: six digits."""


def _compound(value: Fraction, rest: str) -> Quantity | None:
    """Read the rest of ``3 hours 30 minutes`` or ``5 ft 6 in``: a smaller unit of the same kind."""
    match = _SECOND_PART.fullmatch(rest)
    unit = parse_unit(match.group(1)) if match else None
    second = parse_quantity(match.group(2)) if match and unit is not None else None
    if unit is None or second is None or second.unit is None or is_counted(unit) or second.value < 0:
        return None
    if unit.dimension != second.unit.dimension or second.unit.factor >= unit.factor:
        return None
    return Quantity(value + second.value * second.unit.factor / unit.factor, Fraction(0), False, unit)


@functools.lru_cache(maxsize=8192)
def parse_quantity(text: str) -> Quantity | None:
    r"""Read a text that is one number with percent sign, currency, magnitude word or unit.

    Args:
        text: Cleaned by :func:`reward_fns._latex.clean_latex`.

    Returns:
        The quantity, or ``None``.

    Example:
        >>> parse_quantity("3.5 million").value, parse_quantity("5 or 6")
        (Fraction(3500000, 1), None)
    """
    unit: Unit | None = None
    if prefix := _PREFIX.match(text):
        unit = parse_unit(prefix.group(2).replace("\\", ""))
        text = prefix.group(1) + text[prefix.end() :]
    found = match_number(text)
    if found is None:
        value = parse_cjk_number(text) if not text.isascii() else parse_number_words(text)
        return None if value is None else Quantity(value, Fraction(0), False, unit)
    number, end = found
    value, step, percent = number.value, number.step, False
    if end < len(text):
        if magnitude := _MAGNITUDE.match(text, end):
            size = _MAGNITUDES[magnitude.group(1).lower()]
            value, step, end = value * size, step * size, magnitude.end()
        if sign := _PERCENT.match(text, end):
            percent, end = True, sign.end()
        rest = text[end:]
        if rest.strip():
            if unit is not None or percent or _GLUED_LETTER.match(rest):
                return None
            unit = parse_unit(rest)
            if unit is None:
                return _compound(value, rest)
            if rest[0].isalpha() and is_counted(unit):
                return None
    return Quantity(value, step, percent, unit)


def _close(gold: Quantity, answer: Quantity, tolerance: Fraction) -> bool:
    """Compare bare numbers."""
    difference = abs(gold.value - answer.value)
    if difference <= tolerance * abs(gold.value):
        return True
    if gold.value.denominator == answer.value.denominator == 1:
        return False
    step = max(gold.step, answer.step)
    return difference < step and abs(gold.value) >= _SIGNIFICANT * step


def _scaled(quantity: Quantity, factor: Fraction) -> Quantity:
    return quantity._replace(value=quantity.value * factor, step=quantity.step * factor)


def same_quantity(gold: Quantity, answer: Quantity, tolerance: Fraction = Fraction(0)) -> bool:
    """Decide whether two quantities are the same.

    - Units of one kind convert; units of different kinds differ; a unit that only one side writes is dropped.
    - ``50%`` is 0.5; it is also 50 where the ground truth says ``50%``, or says a bare number above 1, which no share
      is: then the percent sign is the unit that the question asked for.
    - A decimal of six significant digits or more may be rounded or cut: it agrees within its last place. Whole numbers
      agree exactly.

    Args:
        gold: Ground truth; the rule for percent is not symmetric.
        answer: From the policy.
        tolerance: Relative deviation allowed in addition, e.g. 0.05.
    """
    if gold.percent or answer.percent:
        return _same_percent(gold, answer, tolerance)
    if not (gold.unit and gold.unit.dimension and answer.unit and answer.unit.dimension):
        return _close(gold, answer, tolerance)
    if gold.unit.dimension != answer.unit.dimension:
        return False
    return _close(_scaled(gold, gold.unit.factor), _scaled(answer, answer.unit.factor), tolerance)


def _same_percent(gold: Quantity, answer: Quantity, tolerance: Fraction) -> bool:
    if (gold.unit or answer.unit) is not None:
        return False
    if gold.percent == answer.percent:
        return _close(gold, answer, tolerance)
    hundredth = Fraction(1, 100)
    if gold.percent:
        return _close(gold, answer, tolerance) or _close(_scaled(gold, hundredth), answer, tolerance)
    return _close(gold, _scaled(answer, hundredth), tolerance) or (
        abs(gold.value) > 1 and _close(gold, answer, tolerance)
    )
