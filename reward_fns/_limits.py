r"""What may reach the symbolic engine: short, shallow, known commands, numbers that cannot explode.

Hostile text that passes is still safe, as it is read in a process that can be killed; the limits keep it from costing
a process each time.
"""

from __future__ import annotations

import math
import re

from reward_fns._latex import GREEK_NAMES
from reward_fns._structure import depth
from reward_fns._verdict import Status

MAX_CHARS = 300
MAX_DEPTH = 12
MAX_DIGITS = 60
MAX_POWER_BITS = 50_000
MAX_FACTORIAL = 2000

_NAMES = (
    "frac sqrt pi infty sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh ln log exp lg cdot times div pm mp "
    "binom text overline circ le ge ne lt gt in cup cap emptyset mathbb vert begin end sum int prod lim rightarrow "
    "lfloor rfloor lceil rceil max min det gcd angle triangle vec hat bar langle rangle "
    "setminus approx equiv pmod bmod mod perp parallel { } \\ "
)
_COMMANDS = frozenset((_NAMES + GREEK_NAMES).split())
_COMMAND = re.compile(r"\\([a-zA-Z]+|.)", re.DOTALL)
_ALLOWED = re.compile(r"[0-9A-Za-z\s\\{}()\[\]+\-*/^_=<>.,|!&:%;]*", re.ASCII)
_CODE = re.compile(
    r"__|\\text\{[^}]*[()\[\]_]|(?<![\\a-zA-Z])(?:import|lambda|exec|eval|open|getattr|globals|system|class|def|print)"
    r"(?![a-zA-Z])",
    re.IGNORECASE,
)
_DIGITS = re.compile(rf"\d{{{MAX_DIGITS + 1},}}")
_POWER = re.compile(r"(\d+(?:\.\d+)?)\s*\)?\s*\^\s*(?:\{\s*-?\s*(\d+(?:\.\d+)?)\s*\}|\(\s*-?\s*(\d+)\s*\)|-?\s*(\d+))")
_FACTORIAL = re.compile(r"(\d+)\s*!")
_NESTED_FACTORIAL = re.compile(r"!\s*\)*\s*!")
_CHAINED = re.compile(r"\^[^+\-=,<>]*\^[^+\-=,<>]*\^")


def _grows(text: str) -> bool:
    """Whether a power or factorial of literals is too large to write out."""
    if _CHAINED.search(text) or _NESTED_FACTORIAL.search(text):
        return True
    for match in _FACTORIAL.finditer(text):
        if len(match.group(1)) > 4 or int(match.group(1)) > MAX_FACTORIAL:
            return True
    for _ in range(MAX_DEPTH):
        power = _POWER.search(text)
        if power is None:
            return False
        base, exponent = float(power.group(1)), float(next(group for group in power.groups()[1:] if group))
        bits = exponent * math.log2(base) if base > 1 else 0.0
        if bits > MAX_POWER_BITS:
            return True
        # Fold the innermost power to a number of its size, so that towers are seen from the top down.
        text = f"{text[: power.start()]}{int(2 ** min(bits, 60.0))}{text[power.end() :]}"
    return True


def refusal(text: str) -> Status | None:
    r"""Say why a cleaned text must not reach the symbolic engine.

    Returns:
        ``TOO_LONG`` (length, nesting, digits, powers), ``UNPARSED`` (characters, commands or code that no answer
        needs), or ``None`` if it may.

    Example:
        >>> refusal("9^{9^{9}}"), refusal("\\frac{1}{2}")
        (<Status.TOO_LONG: 'too_long'>, None)
    """
    if len(text) > MAX_CHARS or _DIGITS.search(text) or depth(text) > MAX_DEPTH:
        return Status.TOO_LONG
    if not _ALLOWED.fullmatch(text) or _CODE.search(text):
        return Status.UNPARSED
    if not all(match.group(1) in _COMMANDS for match in _COMMAND.finditer(text)):
        return Status.UNPARSED
    return Status.TOO_LONG if _grows(text) else None
