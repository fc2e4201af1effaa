"""Values of formulas, exact (rationals) as long as only rational operations occur.

No operation on hostile numbers can grow: integers are limited to ``MAX_BITS`` bits, the rest is floating point.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable, Mapping
from fractions import Fraction

from reward_fns._expression import Node

MAX_BITS = 8192

Value = Fraction | complex


class UnboundedError(Exception):
    """A value is undefined, not finite, or too large to be computed exactly."""


_FUNCTIONS: dict[str, Callable[[complex], complex]] = {
    "sin": cmath.sin,
    "cos": cmath.cos,
    "tan": cmath.tan,
    "cot": lambda x: 1 / cmath.tan(x),
    "sec": lambda x: 1 / cmath.cos(x),
    "csc": lambda x: 1 / cmath.sin(x),
    "arcsin": cmath.asin,
    "arccos": cmath.acos,
    "arctan": cmath.atan,
    "sinh": cmath.sinh,
    "cosh": cmath.cosh,
    "tanh": cmath.tanh,
    "exp": cmath.exp,
    "ln": cmath.log,
    "log": lambda x: cmath.log(x) / cmath.log(10),
}


def _bounded(value: Value) -> Value:
    if isinstance(value, Fraction):
        if max(value.numerator.bit_length(), value.denominator.bit_length()) > MAX_BITS:
            raise UnboundedError
    elif not cmath.isfinite(value):
        raise UnboundedError
    return value


def _power(base: Value, exponent: Value) -> Value:
    if isinstance(exponent, Fraction) and exponent.denominator == 1 and isinstance(base, Fraction):
        power = exponent.numerator
        bits = max(base.numerator.bit_length(), base.denominator.bit_length())
        if bits * abs(power) > MAX_BITS:
            raise UnboundedError
        if not base and power <= 0:
            raise UnboundedError
        return base**power
    if not base:
        if isinstance(exponent, Fraction) and exponent > 0:
            return Fraction(0)
        raise UnboundedError
    # The real root of a negative number, where school means it: (-8)^(1/3) = -2.
    if isinstance(base, Fraction) and base < 0 and isinstance(exponent, Fraction) and exponent.denominator % 2:
        sign = -1.0 if exponent.numerator % 2 else 1.0
        return complex(sign * float(-base) ** float(exponent))
    return complex(base) ** complex(exponent)


def _root(value: Value, index: Value) -> Value:
    if not isinstance(index, Fraction) or index.denominator != 1 or not 2 <= index <= 64:
        raise UnboundedError
    if isinstance(value, Fraction) and value >= 0 and index == 2:
        top, bottom = math.isqrt(value.numerator), math.isqrt(value.denominator)
        if top * top == value.numerator and bottom * bottom == value.denominator:
            return Fraction(top, bottom)
    return _power(value, 1 / index)


def _whole(value: Value, limit: int) -> int:
    if not isinstance(value, Fraction) or value.denominator != 1 or not 0 <= value <= limit:
        raise UnboundedError
    return int(value)


class _Evaluation:
    """Computes a formula at a point and remembers the largest number met on the way."""

    def __init__(self, point: Mapping[str, Fraction]) -> None:
        self.point = point
        self.largest = 0.0

    def value(self, node: Node) -> Value:
        """Compute a (sub)formula."""
        result = _bounded(self._compute(node))
        if isinstance(result, complex):
            self.largest = max(self.largest, abs(result))
        return result

    def _compute(self, node: Node) -> Value:
        operation = node[0]
        if operation == "number":
            return node[1]
        if operation == "variable":
            return self.point[node[1]]
        if operation in ("pi", "e", "i", "degree"):
            return complex({"pi": math.pi, "e": math.e, "i": 1j, "degree": math.pi / 180}[operation])
        operands = [self.value(child) for child in node[1:]]
        left = operands[0]
        if operation == "negate":
            return -left
        if operation == "absolute":
            return abs(left) if isinstance(left, Fraction) else complex(abs(left))
        if operation == "factorial":
            return Fraction(math.factorial(_whole(left, 200)))
        if operation in _FUNCTIONS:
            return _FUNCTIONS[operation](complex(left))
        right = operands[1]
        if operation == "add":
            return left + right
        if operation == "subtract":
            return left - right
        if operation == "multiply":
            return left * right
        if operation == "divide":
            return left / right
        if operation == "power":
            return _power(left, right)
        if operation == "root":
            return _root(left, right)
        return Fraction(math.comb(_whole(left, 200), _whole(right, 200)))


def evaluate(node: Node, point: Mapping[str, Fraction]) -> tuple[Value, float]:
    """Compute a formula.

    Args:
        node: From :func:`parse_expression`.
        point: Value of every variable.

    Returns:
        The value, a ``Fraction`` if exact, and the largest inexact number on the way to it.

    Raises:
        UnboundedError: Undefined, not finite, or beyond ``MAX_BITS``.
    """
    evaluation = _Evaluation(point)
    try:
        return evaluation.value(node), evaluation.largest
    except (ArithmeticError, ValueError, RecursionError) as error:
        raise UnboundedError from error
