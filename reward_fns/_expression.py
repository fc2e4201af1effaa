r"""A small language of formulas: numbers, variables, ``+ - * / ^ !``, roots and elementary functions.

Reading takes time linear in the text and evaluates nothing; :mod:`reward_fns._evaluate` computes values.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from reward_fns._latex import GREEK_NAMES

MAX_CHARS = 512
MAX_DEPTH = 24

Node = tuple[Any, ...]
"""``(operation, operand, …)``; leaves are ``("number", Fraction)``, ``("number", Fraction, step)`` for
decimals,
``("variable", name)`` and constants such as ``("pi",)``."""


class UnreadableError(Exception):
    """The text is not in the language."""


_TOKEN = re.compile(
    r"\s*(?:(\d{1,3}(?:,\d{3})+(?:\.\d+)?(?![\d,])|\d+\.?\d*|\.\d+)"
    r"|\\([a-zA-Z]+)|([a-zA-Z])|(\^\\circ(?![a-zA-Z]))|([-+*/^!()\[\]{}|_]))",
    re.ASCII,
)
_FUNCTION_NAMES = "sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh exp ln log"
FUNCTIONS = frozenset(_FUNCTION_NAMES.split())
_INVERSES = {"sin": "arcsin", "cos": "arccos", "tan": "arctan"}
_VARIABLES = frozenset(GREEK_NAMES.split()) - {"pi"}
_TIMES = frozenset(("times", "cdot"))
_WORD = re.compile(r"(?<![\\a-zA-Z])[a-zA-Z]{3,}")


class _Parser:
    def __init__(self, text: str) -> None:
        self.tokens: list[tuple[str, str]] = []
        position, text = 0, text.rstrip()
        while position < len(text):
            match = _TOKEN.match(text, position)
            if match is None:
                raise UnreadableError
            position = match.end()
            index = match.lastindex or 0
            self.tokens.append((("", "number", "command", "letter", "degree", "sign")[index], match.group(index)))
        self.tokens.append(("end", ""))
        self.position = 0
        self.depth = 0

    def peek(self, *values: str) -> bool:
        return self.tokens[self.position][1] in values

    def take(self) -> tuple[str, str]:
        token = self.tokens[self.position]
        self.position += 1
        return token

    def expect(self, value: str) -> None:
        if self.take()[1] != value:
            raise UnreadableError

    def sum(self) -> Node:
        self.deeper()
        node = self.signed(self.product)
        while self.peek("+", "-"):
            operation = "add" if self.take()[1] == "+" else "subtract"
            node = (operation, node, self.signed(self.product))
        self.depth -= 1
        return node

    def deeper(self) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise UnreadableError

    def signed(self, operand: Callable[[], Node]) -> Node:
        if self.peek("-", "+"):
            negative = self.take()[1] == "-"
            node = operand()
            return ("negate", node) if negative else node
        return operand()

    def product(self) -> Node:
        node = self.power()
        divided = False
        while True:
            kind, value = self.tokens[self.position]
            if value == "*" or (kind == "command" and value in _TIMES):
                self.take()
                node, divided = ("multiply", node, self.signed(self.power)), False
            elif value == "/" or (kind == "command" and value == "div"):
                self.take()
                right = self.signed(self.power)
                # 1/2x is one half of x, but nobody knows what x/2y is.
                divided = not (node[0] == right[0] == "number")
                node = ("divide", node, right)
            elif self.starts_factor():
                if divided or kind == "number":
                    raise UnreadableError
                node = ("multiply", node, self.power())
            else:
                return node

    def starts_factor(self) -> bool:
        kind, value = self.tokens[self.position]
        if kind == "command":
            return value not in _TIMES and value != "div"
        return kind in ("number", "letter") or value in ("(", "{")

    def power(self) -> Node:
        node = self.atom()
        while True:
            if self.peek("!"):
                self.take()
                # n!! is the double factorial.
                if self.peek("!"):
                    raise UnreadableError
                node = ("factorial", node)
            elif self.tokens[self.position][0] == "degree":
                self.take()
                node = ("multiply", node, ("degree",))
            elif self.peek("^"):
                self.take()
                node = ("power", node, self.exponent())
                if self.peek("^"):
                    raise UnreadableError
            else:
                return node

    def exponent(self) -> Node:
        if self.peek("{", "("):
            return self.group()
        if self.peek("-"):
            self.take()
            if self.peek("-"):
                raise UnreadableError
            return ("negate", self.exponent())
        kind, value = self.take()
        if kind == "number":
            return _number(value)
        if kind == "letter":
            return _letter(value)
        raise UnreadableError

    def group(self) -> Node:
        opening = self.take()[1]
        node = self.sum()
        self.expect({"(": ")", "{": "}", "[": "]"}[opening])
        return node

    def argument(self) -> Node:
        """Read what a command applies to: a braced group, or one digit or letter as TeX does."""
        if self.peek("{"):
            return self.group()
        kind, value = self.tokens[self.position]
        if kind == "number" and "." not in value and "," not in value:
            # TeX takes one digit: \frac12 is a half.
            if len(value) == 1:
                self.take()
            else:
                self.tokens[self.position] = (kind, value[1:])
            return ("number", Fraction(value[0]))
        if kind == "letter":
            self.take()
            return _letter(value)
        if kind == "command" and value in ("pi", *_VARIABLES):
            return self.atom()
        raise UnreadableError

    def atom(self) -> Node:
        kind, value = self.tokens[self.position]
        if value == "(" or value == "{":
            return self.group()
        self.take()
        if kind == "number":
            return _number(value)
        if kind == "letter":
            return self.subscripted(_letter(value))
        if value == "|":
            node = self.sum()
            self.expect("|")
            return ("absolute", node)
        if kind == "command":
            return self.command(value)
        raise UnreadableError

    def subscripted(self, node: Node) -> Node:
        if not self.peek("_"):
            return node
        self.take()
        kind, value = self.take()
        if value == "{":
            kind, value = self.take()
            self.expect("}")
        if kind not in ("number", "letter") or node[0] != "variable":
            raise UnreadableError
        return ("variable", f"{node[1]}_{value}")

    def command(self, name: str) -> Node:
        if name == "pi":
            return ("pi",)
        if name in _VARIABLES:
            return self.subscripted(("variable", name))
        if name == "frac":
            return ("divide", self.argument(), self.argument())
        if name == "binom":
            return ("choose", self.argument(), self.argument())
        if name == "sqrt":
            index: Node = ("number", Fraction(2))
            if self.peek("["):
                index = self.group()
            return ("root", self.group() if self.peek("(") else self.argument(), index)
        if name == "vert":
            node = self.sum()
            if self.take() != ("command", "vert"):
                raise UnreadableError
            return ("absolute", node)
        if name in FUNCTIONS:
            return self.function(name)
        raise UnreadableError

    def function(self, name: str) -> Node:
        self.deeper()
        base: Node | None = None
        raised: Node | None = None
        if name == "log" and self.peek("_"):
            self.take()
            base = self.argument()
        if self.peek("^"):
            self.take()
            raised = self.exponent()
            if raised == ("negate", ("number", Fraction(1))):
                if name not in _INVERSES:
                    raise UnreadableError
                name, raised = _INVERSES[name], None
        if self.peek("(", "{"):
            argument = self.power() if self.peek("{") else self.group()
        else:
            argument = self.power()
            # \sin 2x applies to 2x, \sin x \cos x only to x.
            while self.starts_factor() and self.tokens[self.position][1] not in FUNCTIONS and not self.peek("("):
                argument = ("multiply", argument, self.power())
        self.depth -= 1
        node: Node = (name, argument)
        if base is not None:
            node = ("divide", ("ln", argument), ("ln", base))
        return node if raised is None else ("power", node, raised)


def _number(digits: str) -> Node:
    value = Fraction(digits.replace(",", ""))
    if value.denominator == 1:
        return ("number", value)
    return ("number", value, Fraction(1, 10 ** len(digits.partition(".")[2])))


def _letter(name: str) -> Node:
    return ("e",) if name == "e" else ("i",) if name == "i" else ("variable", name)


def parse_expression(text: str) -> Node:
    r"""Read a formula.

    Args:
        text: Cleaned by :func:`reward_fns._latex.clean_latex`.

    Returns:
        The tree. ``i`` is the imaginary unit, ``e`` Euler's number, ``\log`` without a base is decimal.

    Raises:
        UnreadableError: Not in the language, ambiguous (``a/bc``), words, or nested too deeply.

    Example:
        >>> parse_expression("2x")
        ('multiply', ('number', Fraction(2, 1)), ('variable', 'x'))
    """
    if len(text) > MAX_CHARS or _WORD.search(text):
        raise UnreadableError
    parser = _Parser(text)
    node = parser.sum()
    if parser.tokens[parser.position][0] != "end":
        raise UnreadableError
    return node


def is_arithmetic(node: Node) -> bool:
    """Whether a formula only adds, multiplies, divides and raises numbers: a sum to be done, not its result."""
    stack = [node]
    while stack:
        part = stack.pop()
        if part[0] in FUNCTIONS or part[0] in ("variable", "root", "pi", "e", "i", "degree"):
            return False
        stack.extend(child for child in part[1:] if isinstance(child, tuple))
    return True


def leaves(node: Node) -> set[Node]:
    """Collect the distinct leaves: numbers, variables and constants."""
    found, stack = set(), [node]
    while stack:
        part = stack.pop()
        children = [child for child in part[1:] if isinstance(child, tuple)]
        if children:
            stack.extend(children)
        else:
            found.add(part)
    return found
