r"""Brackets and separators of a cleaned formula: where its outermost parts begin and end."""

from __future__ import annotations

import functools
import re
from typing import NamedTuple

MAX_DEPTH = 32

_BRACKET = r"\\[{}]|\\[lr]angle(?![a-zA-Z])|\\begin|\\end|[()\[\]{}]"
_BRACKETS = re.compile(_BRACKET)
_OPENERS = frozenset(("(", "[", "{", "\\{", "\\langle", "\\begin"))
_WORDS = r"\s*\\text\s*\{\s*(?:and|or)\s*\}\s*|\s+(?:and|or)\s+"
# A comma right before exactly three digits may group thousands.
_SEPARATOR = rf";|,(?!\d{{3}}(?!\d))|{_WORDS}"
_ANY_SEPARATOR = rf"[,;]|{_WORDS}"
_KINDS = {"\\{\\}": "{}", "\\langle\\rangle": "()", "()": "()", "[]": "[]", "(]": "(]", "[)": "[)"}


class Bracketed(NamedTuple):
    """A text that one pair of brackets encloses."""

    brackets: str
    """``()``, ``[]``, ``(]``, ``[)`` or ``{}`` (a set)."""
    inner: str


def depth(text: str) -> int:
    """Return how deeply brackets nest at most."""
    deepest = level = 0
    for match in _BRACKETS.finditer(text):
        level += 1 if match.group() in _OPENERS else -1
        deepest = max(deepest, level)
    return deepest


@functools.lru_cache(maxsize=16)
def _token(pattern: str) -> re.Pattern[str]:
    return re.compile(f"(?P<hit>{pattern})|{_BRACKET}")


def find_outermost(text: str, pattern: str) -> list[re.Match[str]]:
    """Find the matches of a regular expression outside all brackets; none if brackets do not balance."""
    found, level = [], 0
    for match in _token(pattern).finditer(text):
        if match.group("hit") is not None:
            if level == 0:
                found.append(match)
        else:
            level += 1 if match.group() in _OPENERS else -1
            if level < 0:
                return []
    return found if level == 0 else []


def split_at(text: str, matches: list[re.Match[str]]) -> list[str]:
    """Return the stripped pieces between the matches."""
    starts = [0, *(match.end() for match in matches)]
    ends = [*(match.start() for match in matches), len(text)]
    return [text[start:end].strip() for start, end in zip(starts, ends, strict=True)]


def split_items(text: str) -> list[str]:
    r"""Split at the outermost commas, semicolons, "and" and "or"; beside another separator, thousands stay whole.

    Example:
        >>> split_items("1,200, 3"), split_items("100,200"), split_items("a, b and (c, d)")
        (['1,200', '3'], ['100', '200'], ['a', 'b', '(c, d)'])
    """
    separators = find_outermost(text, _SEPARATOR) or find_outermost(text, _ANY_SEPARATOR)
    # "a, b, and c": nothing stands between the comma and the "and".
    return [item for item in split_at(text, separators) if item] if separators else [text]


def bracketed(text: str) -> Bracketed | None:
    r"""Recognise a text that begins with a bracket which closes at its very end.

    Half-open intervals may mix round and square brackets; plain braces only group and are not recognised.

    Example:
        >>> bracketed("(1, 2]"), bracketed("(x+1)(x-1)")
        (Bracketed(brackets='(]', inner='1, 2'), None)
    """
    opening = next((bracket for bracket in ("(", "[", "\\{", "\\langle") if text.startswith(bracket)), None)
    if opening is None:
        return None
    level = 0
    for match in _BRACKETS.finditer(text):
        level += 1 if match.group() in _OPENERS else -1
        if level == 0:
            kind = _KINDS.get(opening + match.group())
            if kind is None or match.end() != len(text):
                return None
            return Bracketed(kind, text[len(opening) : match.start()].strip())
    return None
