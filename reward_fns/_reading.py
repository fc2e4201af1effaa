r"""What a cleaned mathematical answer is: a quantity, a formula, a tuple, a set, an equation, a word.

:func:`read` looks at the outermost structure only; parts stay text and are read when they are compared.
"""

from __future__ import annotations

import functools
import math
import re
from dataclasses import dataclass
from fractions import Fraction

from reward_fns._expression import MAX_CHARS, Node, UnreadableError, parse_expression
from reward_fns._number import parse_number
from reward_fns._quantity import Quantity, parse_quantity
from reward_fns._sampling import same_formula
from reward_fns._structure import bracketed, find_outermost, split_at, split_items
from reward_fns._units import Unit, parse_unit


@dataclass(frozen=True, slots=True)
class Formula:
    """An expression, perhaps with a unit behind it."""

    node: Node
    unit: Unit | None


@dataclass(frozen=True, slots=True)
class Group:
    """A tuple, interval or set; brackets carry meaning: ``(1, 2)`` is not ``[1, 2]``; ``::`` is a reduced ratio."""

    brackets: str
    items: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Several:
    """Values side by side: solutions in any order, or the parts of a union."""

    items: tuple[str, ...]
    union: bool


@dataclass(frozen=True, slots=True)
class Matrix:
    """Rows of cells."""

    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Relation:
    r"""An equation ``=``, inequation ``\ne``, or inequality ``<`` or ``\le``, written from small to large."""

    left: str
    sign: str
    right: str


@dataclass(frozen=True, slots=True)
class Labelled:
    r"""A value with a name: ``x = 5``, ``f(x) = x^2``, ``x > 3`` as ``x`` with ``(3, \infty)``."""

    label: str
    body: str
    relation: Relation | None
    """The same as it was written, where that is an equation or inequality of two sides."""


@dataclass(frozen=True, slots=True)
class Word:
    """Text, with case folded, or a sign such as infinity."""

    text: str


@dataclass(frozen=True, slots=True)
class Opaque:
    """Something else; only the symbolic check may know."""


Reading = Quantity | Formula | Group | Several | Matrix | Relation | Labelled | Word | Opaque

_RELATION = r"\\(?:le|ge|ne|lt|gt|approx|in)(?![a-zA-Z])|<=|>=|!=|[<>=]"
_SIGNS = {"<=": "\\le", ">=": "\\ge", "!=": "\\ne", "\\lt": "<", "\\gt": ">"}
_MIRRORED = {">": "<", "\\ge": "\\le"}
_UNION = r"\\cup(?![a-zA-Z])"
_MATRIX = re.compile(r"\\begin\s*\{([pb]?)matrix\}(.*)\\end\s*\{\1matrix\}", re.DOTALL)
_LABEL = re.compile(
    r"(?:[a-zA-Z]|\\[a-zA-Z]+|\\text\{[a-zA-Z ]{1,24}\}|[A-Z]{2,4}|[a-zA-Z]{3,24}(?: [a-zA-Z]{1,24}){0,3}"
    r"|\\(?:angle|triangle)\s*[A-Z]{1,3}|\([a-z](?:,\s*[a-z]){1,3}\))(?:_(?:\d|[a-z]|\{\w{1,8}\}))?(?:'|\^\{-1\})?(?:\(\s*[a-z]\s*\))?"
)
_TEXT = re.compile(r"\\text\s*\{([^{}]*)\}")
_LETTERS = re.compile(r"(?<![\\a-zA-Z])[^\W\d_]{3,}")
_TRAILING_UNIT = re.compile(
    r"(.*[\d)}a-z])(?:\s*(\\text\s*\{[^{}]{1,40}\}(?:\s*\^\s*\{?\d\}?)?|\^\\circ(?:\s*[CF])?)"
    r"|\s+([a-zA-Z/]{2,12}(?:\^\{?\d\}?)?))",
    re.DOTALL,
)
_SIGNS_AS_WORDS = {sign: Word(sign.lstrip("+")) for sign in ("\\infty", "+\\infty", "-\\infty", "\\emptyset")}
_ARTICLE = re.compile(r"\A(?:an?|the) (?=\w)")
_ABSOLUTE = re.compile(r"\|\s*([a-zA-Z])\s*\|")
_SHORT_WORDS = frozenset(("no", "na", "ok"))
_ANGLE_OF_FUNCTION = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc)(?![a-zA-Z]).*\^\\circ")
_RATIO = re.compile(r"\d{1,12}(?:\.\d{1,12})?(?:\s*:\s*\d{1,12}(?:\.\d{1,12})?){1,5}", re.ASCII)
_BASED = re.compile(r"(\d[0-9A-Fa-f]*)\s*_\s*(?:\{\s*(\d{1,2})\s*\}|(\d))", re.ASCII)
_REALS = frozenset(("\\mathbb{R}", "\\mathbb R", "\\R", "\\mathbf{R}", "all real numbers", "all reals", "real numbers"))
_NOTHING = frozenset(("no solution", "no solutions", "no real solution", "no real solutions", "\\{\\}", "empty set"))
_EVERYTHING = Group("()", ("-\\infty", "\\infty"))
_MAX_ITEMS = 64


def _read_matrix(text: str) -> Matrix | None:
    match = _MATRIX.fullmatch(text)
    if match is None or "\\begin" in match.group(2):
        return None
    rows = [row for row in match.group(2).split("\\\\") if row.strip()]
    cells = tuple(tuple(cell.strip() for cell in row.split("&")) for row in rows)
    return Matrix(cells) if cells and len({len(row) for row in cells}) == 1 and len(cells) <= _MAX_ITEMS else None


def _read_bracketed(text: str) -> Reading | None:
    outer = bracketed(text)
    if outer is None:
        return None
    items = split_items(outer.inner)
    if len(items) > _MAX_ITEMS or not items[0]:
        return None
    rows = [bracketed(item) for item in items]
    if outer.brackets == "[]" and all(row is not None and row.brackets == "[]" for row in rows):
        # [[1, 2], [3, 4]]
        cells = tuple(tuple(split_items(row.inner)) for row in rows if row is not None)
        return Matrix(cells) if len({len(row) for row in cells}) == 1 else None
    if len(items) == 1 and outer.brackets in ("()", "[]"):
        return read(items[0])
    return Group(outer.brackets, tuple(items))


def _interval(sign: str, bound: str) -> str:
    """Write ``x sign bound`` as an interval."""
    opening, closing = ("(", ")") if sign in ("<", ">") else ("[", "]")
    return f"(-\\infty, {bound}{closing}" if sign in ("<", "\\le") else f"{opening}{bound}, \\infty)"


def _canonical_label(text: str) -> str:
    return "".join(_TEXT.sub(r"\1", text).split())


def _holds(left: str, right: str) -> bool:
    try:
        return same_formula(parse_expression(left), parse_expression(right)) is True
    except UnreadableError:
        return False


def _read_equation(sides: list[str]) -> Reading:
    first, last = sides[0], sides[-1]
    equation = Relation(first, "=", last)
    if _LABEL.fullmatch(first):
        return Labelled(_canonical_label(first), last, equation)
    if len(sides) == 2 and _LABEL.fullmatch(last):
        return Labelled(_canonical_label(last), first, equation)
    if all(_holds(side, last) for side in sides[:-1]):
        # 3 + 4 = 7 states 7.
        return read(last)
    return equation if len(sides) == 2 else Opaque()


def _read_relation(text: str, matches: list[re.Match[str]]) -> Reading:
    signs = [_SIGNS.get(match.group(), match.group()) for match in matches]
    sides = split_at(text, matches)
    if not all(sides):
        return Opaque()
    if set(signs) == {"="} or signs == ["\\approx"]:
        return _read_equation(sides)
    first, last = sides[0], sides[-1]
    if len(signs) == 1:
        sign = signs[0]
        if sign == "\\in":
            return Labelled(_canonical_label(first), last, None) if _LABEL.fullmatch(first) else Opaque()
        if sign == "\\ne":
            return Relation(first, sign, last)
        relation = Relation(last, _MIRRORED[sign], first) if sign in _MIRRORED else Relation(first, sign, last)
        if _LABEL.fullmatch(first):
            return Labelled(_canonical_label(first), _interval(sign, last), relation)
        if (inside := _ABSOLUTE.fullmatch(first)) and sign in ("<", "\\le") and parse_number(last):
            opening, closing = "()" if sign == "<" else "[]"
            return Labelled(inside.group(1), f"{opening}-{last}, {last}{closing}", None)
        if _LABEL.fullmatch(last):
            turned = {"<": ">", ">": "<", "\\le": "\\ge", "\\ge": "\\le"}[sign]
            return Labelled(_canonical_label(last), _interval(turned, first), relation)
        return relation
    if len(signs) == 2 and _LABEL.fullmatch(sides[1]):
        if set(signs) <= {">", "\\ge"}:
            first, last, signs = last, first, [_MIRRORED[sign] for sign in reversed(signs)]
        if set(signs) <= {"<", "\\le"}:
            opening, closing = "(" if signs[0] == "<" else "[", ")" if signs[1] == "<" else "]"
            return Labelled(_canonical_label(sides[1]), f"{opening}{first}, {last}{closing}", None)
    return Opaque()


def _read_ratio(parts: list[Fraction]) -> Reading:
    if not all(parts):
        return Opaque()
    if len(parts) == 2:
        return Quantity(parts[0] / parts[1], Fraction(0), False, None)
    whole = math.lcm(*(part.denominator for part in parts))
    numbers = [int(part * whole) for part in parts]
    return Group("::", tuple(str(number // math.gcd(*numbers)) for number in numbers))


def _read_word(text: str) -> Word | None:
    words = _TEXT.sub(r" \1 ", text)
    if "\\" in words:
        return None
    if words != text or not words.isascii() or _LETTERS.search(words):
        return Word(_ARTICLE.sub("", " ".join(words.casefold().split()).strip(" .\"'"), count=1))
    return None


def _read_scalar(text: str) -> Reading:
    if text in _SIGNS_AS_WORDS:
        return _SIGNS_AS_WORDS[text]
    if text.casefold() in _SHORT_WORDS:
        return Word(text.casefold())
    if based := _BASED.fullmatch(text):
        # 1101_2: digits mean nothing without their base.
        return Word(f"{based.group(1).upper()}_{based.group(2) or based.group(3)}")
    if _RATIO.fullmatch(text):
        return _read_ratio([Fraction(part.strip()) for part in text.split(":")])
    if len(text) <= MAX_CHARS:
        # 24 cm is a length, not 24·c·m: units come before variables.
        match = None if _ANGLE_OF_FUNCTION.search(text) else _TRAILING_UNIT.fullmatch(text)
        unit = parse_unit(match.group(2) or match.group(3)) if match else None
        parts = [(match.group(1).strip(), unit)] if match and unit is not None else []
        for formula, behind in [*parts, (text, None)]:
            try:
                return Formula(parse_expression(formula), behind)
            except UnreadableError:
                continue
    return _read_word(text) or Opaque()


@functools.lru_cache(maxsize=8192)
def read(text: str) -> Reading:
    r"""Read a cleaned answer.

    Args:
        text: From :func:`reward_fns._latex.clean_latex`, or a part of another reading; nested at most
            :data:`reward_fns._structure.MAX_DEPTH` deep.

    Returns:
        The reading; :class:`Opaque` where the structure is not understood.

    Example:
        >>> read("(1, 2]")
        Group(brackets='(]', items=('1', '2'))
    """
    quantity = parse_quantity(text)
    if quantity is not None:
        return quantity
    if text in _REALS or text.casefold() in _REALS:
        return _EVERYTHING
    if text.casefold() in _NOTHING:
        return Word("\\emptyset")
    whole = _read_matrix(text) or _read_bracketed(text)
    if whole is not None:
        return whole
    if unions := find_outermost(text, _UNION):
        parts = tuple(split_at(text, unions))
        return Several(parts, True) if len(parts) <= _MAX_ITEMS else Opaque()
    items = split_items(text)
    if len(items) > 1:
        return Several(tuple(items), False) if len(items) <= _MAX_ITEMS else Opaque()
    if relations := find_outermost(text, _RELATION):
        return _read_relation(text, relations)
    if text.count("\\pm") == 1:
        return Several((text.replace("\\pm", "+").lstrip(" +"), text.replace("\\pm", "-")), False)
    return _read_scalar(text)
