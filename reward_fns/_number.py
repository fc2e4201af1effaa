r"""Read a number from how people and LaTeX write it, exactly, without evaluating anything.

:func:`match_number` reads the number a text begins with; :func:`parse_number` one that is the whole text. Texts must
have been through :func:`reward_fns._latex.clean_latex` or hold no LaTeX.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import NamedTuple


class Number(NamedTuple):
    """An exact value and how it was written."""

    value: Fraction
    step: Fraction
    """One unit in the last place of a decimal, which may be rounded; 0 for whole numbers and ratios."""


_EXACT = Fraction(0)
_SIMPLE = re.compile(r"[+-]?\d{1,64}", re.ASCII)
# Longer numbers are in no answer, and beyond 4300 digits Python refuses to convert.
_DIGITS = r"\d{1,1000}"
# Thousands are grouped by commas, by spaces, or (where a comma follows for the decimals) by points.
_INT = rf"(?:\d{{1,3}}(?:,\d{{3}}){{1,300}}(?![\d,])|\d{{1,3}}(?:[ ]\d{{3}}){{1,300}}(?!\d)|{_DIGITS})"
_SIGN = re.compile(r"([+-]?)\s*", re.ASCII)
_LATEX_FRACTION = re.compile(
    rf"(?:({_DIGITS})\s*)?\\frac\s*(?:\{{\s*([+-]?{_DIGITS})\s*\}}|(\d))\s*(?:\{{\s*(-?{_DIGITS})\s*\}}|(\d))", re.ASCII
)
_MIXED = re.compile(rf"({_DIGITS})\s+({_DIGITS})\s*/\s*({_DIGITS})", re.ASCII)
_RATIO = re.compile(rf"({_INT})\s*/\s*({_INT})", re.ASCII)
_EUROPEAN = re.compile(r"(\d{1,3}(?:\.\d{3}){1,300}),(\d{1,6})(?![\d,.])", re.ASCII)
_DECIMAL = re.compile(rf"({_INT}(?:\.(?:{_DIGITS})?)?|\.{_DIGITS})", re.ASCII)
_REPEATING = re.compile(r"\\(?:overline|dot|bar)\s*\{\s*(\d{1,18})\s*\}", re.ASCII)
_EXPONENT = re.compile(r"[eE]([+-]?\d{1,4})(?![\d.])", re.ASCII)
_TEN_POWER = re.compile(
    r"\s*(?:\\times|\\cdot|[*x])\s*10\s*\^\s*(?:\{\s*([+-]?\d{1,4})\s*\}|\(\s*([+-]?\d{1,4})\s*\)|([+-]?\d{1,4}))",
    re.ASCII,
)
_POWER = re.compile(r"\s*\^\s*(?:\{\s*([+-]?\d{1,4})\s*\}|\(\s*([+-]?\d{1,4})\s*\)|(\d{1,4}))", re.ASCII)
_MAX_CHARS = 128
_MAX_EXPONENT = 400
_MAX_BITS = 8192


def _integer(text: str) -> int:
    return int(text.replace(",", "").replace(" ", ""))


def _step(digits: str) -> Fraction:
    places = len(digits.partition(".")[2])
    return Fraction(1, 10**places) if places else _EXACT


def _first_group(match: re.Match[str]) -> int:
    return int(next(group for group in match.groups() if group is not None))


def _match_fraction(text: str, start: int) -> tuple[Fraction, int] | None:
    if match := _LATEX_FRACTION.match(text, start):
        whole, top, top_digit, bottom, bottom_digit = match.groups()
        numerator, denominator = int(top or top_digit), int(bottom or bottom_digit)
        if whole is not None and (numerator < 0 or denominator < 0):
            return None
    elif match := _MIXED.match(text, start):
        whole, numerator, denominator = match.group(1), int(match.group(2)), int(match.group(3))
    elif match := _RATIO.match(text, start):
        whole, numerator, denominator = None, _integer(match.group(1)), _integer(match.group(2))
    else:
        return None
    if not denominator:
        return None
    return Fraction(numerator, denominator) + int(whole or 0), match.end()


def _match_decimal(text: str, start: int) -> tuple[Number, int] | None:
    if match := _EUROPEAN.match(text, start):
        digits = f"{match.group(1).replace('.', '')}.{match.group(2)}"
        return Number(Fraction(digits), _step(digits)), match.end()
    match = _DECIMAL.match(text, start)
    if match is None:
        return None
    digits, end = match.group(1).replace(",", "").replace(" ", ""), match.end()
    value, step = Fraction(digits), _step(digits)
    if "." in digits and (repeating := _REPEATING.match(text, end)):
        block = repeating.group(1)
        shift = 10 ** len(digits.partition(".")[2])
        value += Fraction(int(block), (10 ** len(block) - 1) * shift)
        return Number(value, _EXACT), repeating.end()
    power: int | None = None
    if exponent := _EXPONENT.match(text, end):
        power, end = int(exponent.group(1)), exponent.end()
    elif times := _TEN_POWER.match(text, end):
        power, end = _first_group(times), times.end()
    elif raised := _POWER.match(text, end):
        exponent_value = _first_group(raised)
        if not value and exponent_value <= 0:
            return None
        if max(value.numerator.bit_length(), value.denominator.bit_length()) * abs(exponent_value) > _MAX_BITS:
            return None
        value, step, end = value**exponent_value, _EXACT, raised.end()
    if power is not None:
        if abs(power) > _MAX_EXPONENT:
            return None
        value, step = value * Fraction(10) ** power, step * Fraction(10) ** power
    return Number(value, step), end


def match_number(text: str) -> tuple[Number, int] | None:
    """Read the number that ``text`` begins with.

    Returns:
        The number and the index after it, or ``None``. A longer literal is never cut short: ``1.2.3`` and ``12e9999``
        are not numbers.
    """
    sign = _SIGN.match(text)
    start = sign.end() if sign else 0
    found = _match_decimal(text, start)
    fraction = _match_fraction(text, start)
    if fraction is not None and (found is None or fraction[1] > found[1]):
        found = Number(fraction[0], _EXACT), fraction[1]
    if found is None:
        return None
    number, end = found
    # A digit, point or power right behind means that the literal goes on in a way not understood.
    if end < len(text) and (text[end] in "^.,!" or text[end].isdigit()) and not text.startswith("^\\circ", end):
        rest = text[end:].lstrip(".,")
        if rest == text[end:] or (rest and not rest[0].isspace()):
            return None
    return (number._replace(value=-number.value) if sign and sign.group(1) == "-" else number), end


def parse_number(text: str) -> Number | None:
    r"""Read a text that is one number.

    Understood: integers, decimals, thousands (``1,234`` and ``1 234`` and ``1.234,5``), ratios ``3/4``, mixed
    numbers ``1 1/2``, ``\frac{1}{2}``, scientific notation (``1e-3``, ``2 \times 10^{5}``), powers ``2^{10}``,
    repeating decimals ``0.\overline{3}``.

    Returns:
        The number, or ``None`` if the text is anything else or larger than about 10^400.

    Example:
        >>> parse_number("1,250.50").value, parse_number("2x")
        (Fraction(2501, 2), None)
    """
    if _SIMPLE.fullmatch(text):
        return Number(Fraction(int(text)), _EXACT)
    if len(text) > _MAX_CHARS:
        return None
    found = match_number(text)
    return found[0] if found and found[1] == len(text) else None


_CJK_DIGITS = {
    digit: value for row in ("零一二三四五六七八九", "〇壹贰叁肆伍陆柒捌玖") for value, digit in enumerate(row)
}
_CJK_DIGITS["两"] = 2
_CJK_UNITS = {"十": 10, "拾": 10, "百": 100, "佰": 100, "千": 1000, "仟": 1000}
_CJK_MYRIADS = {"万": 10**4, "萬": 10**4, "亿": 10**8, "億": 10**8}
_CJK = re.compile(f"[{''.join((*_CJK_DIGITS, *_CJK_UNITS, *_CJK_MYRIADS))}]{{1,24}}")


def parse_cjk_number(text: str) -> Fraction | None:
    """Read a whole number in Chinese or Japanese numerals: positional (``一二三``) or with units (``三百二十``).

    Example:
        >>> parse_cjk_number("三百二十"), parse_cjk_number("二〇二四")
        (Fraction(320, 1), Fraction(2024, 1))
    """
    if not _CJK.fullmatch(text):
        return None
    if all(character in _CJK_DIGITS for character in text):
        return Fraction(int("".join(str(_CJK_DIGITS[character]) for character in text)))
    if len(text) > 1 and text[-1] in _CJK_DIGITS and text[-2] not in _CJK_DIGITS and text[-2] not in "十拾":
        # 两万五 is spoken for 25,000 and written for 20,005.
        return None
    total, section, digit = 0, 0, None
    for character in text:
        if character in _CJK_DIGITS:
            if digit:
                return None
            digit = _CJK_DIGITS[character]
        elif character in _CJK_UNITS:
            section += (1 if digit is None else digit) * _CJK_UNITS[character]
            digit = None
        else:
            section, myriad = section + (digit or 0), _CJK_MYRIADS[character]
            total = (total + section) * myriad if total < myriad else total + section * myriad
            section, digit = 0, None
    return Fraction(total + section + (digit or 0))


_UNIT_NAMES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
_TEN_NAMES = "twenty thirty forty fifty sixty seventy eighty ninety"
_WORDS = {word: value for value, word in enumerate(_UNIT_NAMES.split())}
_TENS = {word: 10 * value for value, word in enumerate(_TEN_NAMES.split(), start=2)}
_SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}


def parse_number_words(text: str) -> Fraction | None:
    """Read a whole number in English words: ``twenty-one``, ``three hundred and five``, ``two million``.

    Example:
        >>> parse_number_words("three hundred and five"), parse_number_words("one apple")
        (Fraction(305, 1), None)
    """
    words = text.casefold().replace("-", " ").split()
    if not words or len(words) > 12 or words[0] == "and" or words[-1] == "and":
        return None
    total, section, last = 0, 0, "start"
    for word in words:
        if word == "and" and last in ("hundred", "scale"):
            continue
        if word in _TENS and last in ("start", "hundred", "scale"):
            section, last = section + _TENS[word], "tens"
        elif word in _WORDS and (last in ("start", "hundred", "scale") or (last == "tens" and 0 < _WORDS[word] < 10)):
            section, last = section + _WORDS[word], "unit"
        elif word == "hundred" and last == "unit" and section < 10:
            section, last = section * 100, "hundred"
        elif word in _SCALES and last in ("unit", "tens", "hundred"):
            total, section, last = total + section * _SCALES[word], 0, "scale"
        else:
            return None
    return Fraction(total + section)
