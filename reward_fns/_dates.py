"""Calendar dates in the forms that tables and documents use."""

from __future__ import annotations

import functools
import re
from typing import NamedTuple


class Date(NamedTuple):
    """A date with whatever parts were written."""

    year: int | None
    month: int
    day: int | None


_MONTH_NAMES = "january february march april may june july august september october november december"
_MONTHS = {name: number for number, name in enumerate(_MONTH_NAMES.split(), start=1)}
_MONTHS |= {name[:3]: number for name, number in _MONTHS.items()} | {"sept": 9}
_MONTH = f"({'|'.join(sorted(_MONTHS, key=len, reverse=True))})\\.?"
_DAY = r"(\d{1,2})(?:st|nd|rd|th)?"
_YEAR = r"(\d{4})"
_WEEKDAY = re.compile(r"(?:mon|tues?|wed(?:nes)?|thur?s?|fri|sat(?:ur)?|sun)(?:day)?\.?,?\s+")
_NAMED = (
    (re.compile(rf"{_MONTH}\s+{_DAY}(?:\s*,\s*|\s+){_YEAR}"), "mdy"),
    (re.compile(rf"{_DAY}(?:\s+of)?[\s-]+{_MONTH}(?:\s*,\s*|[\s-]+){_YEAR}"), "dmy"),
    (re.compile(rf"{_YEAR}[\s,-]+{_MONTH}[\s-]+{_DAY}"), "ymd"),
    (re.compile(rf"{_MONTH}(?:\s*,\s*|[\s-]+){_YEAR}"), "my"),
    (re.compile(rf"{_MONTH}\s+{_DAY}"), "md"),
    (re.compile(rf"{_DAY}(?:\s+of)?[\s-]+{_MONTH}"), "dm"),
)
_NUMERIC = (
    (re.compile(r"(\d{4})([-/.])(\d{1,2})\2(\d{1,2})(?:[t ]00:00(?::00)?)?"), "y-m-d"),
    (re.compile(r"(\d{1,2})([-/.])(\d{1,2})\2(\d{4})"), "?-?-y"),
    (re.compile(r"(\d{4})\s*年\s*(\d{1,2})\s*月(?:\s*(\d{1,2})\s*[日号])?"), "cjk"),
)


def _checked(year: int | None, month: int, day: int | None) -> Date | None:
    return Date(year, month, day) if 1 <= month <= 12 and (day is None or 1 <= day <= 31) else None


@functools.lru_cache(maxsize=4096)
def parse_date(text: str) -> Date | None:
    """Read a date: named months in any usual order, ISO, ``2024年5月3日``, or numbers.

    ``03/05/2024`` may be March or May, so it is no date; ``13/05/2024`` and ``05/05/2024`` are. Two-digit years are
    not read.

    Args:
        text: In lower case.

    Returns:
        The date, or ``None``.

    Example:
        >>> parse_date("5th march, 2024") == parse_date("2024-03-05"), parse_date("03/05/2024")
        (True, None)
    """
    if not 5 <= len(text) <= 40:
        return None
    text = _WEEKDAY.sub("", text, count=1)
    for pattern, order in _NAMED:
        if match := pattern.fullmatch(text):
            parts = dict(zip(order, match.groups(), strict=True))
            year, day = parts.get("y"), parts.get("d")
            return _checked(int(year) if year else None, _MONTHS[parts["m"]], int(day) if day else None)
    for pattern, order in _NUMERIC:
        match = pattern.fullmatch(text)
        if match is None:
            continue
        if order == "cjk":
            year, month, last = match.groups()
            return _checked(int(year), int(month), int(last) if last else None)
        first, _, second, third = match.groups()
        if order == "y-m-d":
            return _checked(int(first), int(second), int(third))
        readings = {_checked(int(third), int(first), int(second)), _checked(int(third), int(second), int(first))}
        readings.discard(None)
        return readings.pop() if len(readings) == 1 else None
    return None
