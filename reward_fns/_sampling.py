"""Equality of formulas by their values at fixed points.

Two rational formulas of bounded degree that agree at random points are identical with probability near 1 (Schwartz
1980, Zippel 1979); here values are exact as long as operations are rational, and correct to 1e-9 otherwise. Points are
derived from the variables' names, so verdicts are reproducible.
"""

from __future__ import annotations

import zlib
from fractions import Fraction

from reward_fns._evaluate import UnboundedError, Value, evaluate
from reward_fns._expression import Node, leaves

_POINTS = 9
_NEEDED = 3
_MAX_VARIABLES = 8
_PRIME = 31
_CLOSE = 1e-9
_DECIMALS = 5e-6
_SIGNIFICANT = 10**5
# Beyond this ratio of an intermediate to the result, floating point has lost too many digits to decide.
_MAX_CANCELLATION = 1e5


def _coordinate(name: str, k: int) -> Fraction:
    random = zlib.crc32(f"{name}:{k}".encode())
    if k < 3:
        # Whole numbers, for factorials and alternating signs.
        return Fraction(2 + random % 7)
    size = Fraction(1 + random % 29, _PRIME) if k % 2 else Fraction(33 + random % 64, _PRIME)
    return -size if k > 6 and random & 1024 else size


def _agree(left: Value, right: Value, largest: float, tolerance: float) -> bool | None:
    if isinstance(left, Fraction) and isinstance(right, Fraction):
        return abs(left - right) <= Fraction(tolerance) * abs(left) if tolerance else left == right
    a, b = complex(left), complex(right)
    size = max(abs(a), abs(b))
    if largest > _MAX_CANCELLATION * size:
        return None
    return abs(a - b) <= max(tolerance, _CLOSE) * size


def _is_real(value: Value) -> bool:
    return isinstance(value, Fraction) or abs(value.imag) <= _CLOSE * abs(value)


def _decimal(parts: set[Node]) -> bool:
    return any(part[0] == "number" and len(part) > 2 for part in parts)


def _samples(left: Node, right: Node) -> list[tuple[Value, Value, float]] | None:
    parts = leaves(left) | leaves(right)
    names = sorted(part[1] for part in parts if part[0] == "variable")
    if len(names) > _MAX_VARIABLES:
        return None
    complex_allowed = ("i",) in parts
    samples = []
    for k in range(_POINTS if names else 1):
        point = {name: _coordinate(name, k) for name in names}
        try:
            (a, size_a), (b, size_b) = evaluate(left, point), evaluate(right, point)
        except UnboundedError:
            continue
        if complex_allowed or not names or (_is_real(a) and _is_real(b)):
            samples.append((a, b, max(size_a, size_b)))
    return samples if len(samples) >= (_NEEDED if names else 1) else None


def same_formula(gold: Node, answer: Node) -> bool | None:
    """Decide whether two formulas have the same value everywhere.

    Where one of them holds a decimal fraction, values agree to six significant digits.

    Args:
        gold: From :func:`reward_fns._expression.parse_expression`.
        answer: Likewise.

    Returns:
        The decision, or ``None`` where too few points are defined or digits are lost.
    """
    samples = _samples(gold, answer)
    if samples is None:
        return None
    for lone, other in ((gold, 1), (answer, 0)):
        if lone[0] == "number" and len(lone) > 2:
            # A decimal may be rounded or cut in its last place, from six digits on.
            step, value = lone[2], samples[0][other]
            return abs(lone[1]) >= _SIGNIFICANT * step and abs(complex(value) - float(lone[1])) < step
    tolerance = _DECIMALS if _decimal(leaves(gold) | leaves(answer)) else 0.0
    decisions = [_agree(a, b, largest, tolerance) for a, b, largest in samples]
    if False in decisions:
        return False
    return True if decisions.count(True) >= min(_NEEDED, len(decisions)) and True in decisions else None


def proportional(gold: Node, answer: Node, same_sign: bool) -> bool | None:
    """Decide whether ``answer = c · gold`` with a constant c other than 0, so that both vanish at the same points.

    Args:
        gold: Left side minus right side of an equation or inequality.
        answer: Likewise.
        same_sign: Require c > 0, as inequalities need.

    Returns:
        The decision, or ``None`` where too few points tell.
    """
    samples = _samples(gold, answer)
    if samples is None:
        return None
    ratio: Value | None = None
    told = 0
    for a, b, largest in samples:
        if not a or not b:
            if a or b:
                return False
            continue
        if largest > _MAX_CANCELLATION * min(abs(complex(a)), abs(complex(b))):
            continue
        quotient = b / a
        if ratio is None:
            ratio = quotient
        elif not _agree(ratio, quotient, 0.0, 0.0):
            return False
        told += 1
    if ratio is None or told < _NEEDED:
        return None
    return not same_sign or (_is_real(ratio) and complex(ratio).real > 0)
