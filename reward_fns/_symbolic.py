"""Symbolic comparison with math-verify; runs in worker processes only (see :mod:`reward_fns._supervisor`)."""

from __future__ import annotations

import functools
from typing import Any

import sympy
from latex2sympy2_extended.latex2sympy2 import ConversionConfig, NormalizationConfig, latex2sympy
from math_verify import verify
from math_verify.grader import should_treat_as_complex

from reward_fns._verdict import Status

# Units were dealt with before; what LaTeX means must not depend on words behind it.
_NORMALIZATION = NormalizationConfig(
    basic_latex=True, units=False, malformed_operators=True, nits=True, boxed="none", equations=False
)
_CONVERSION = ConversionConfig(lowercase_symbols=False)
_WARM_UP = (
    ("x^{2}+2x+1", "(x+1)^{2}"),
    ("\\frac{\\sqrt{2}}{2}", "\\sin(\\frac{\\pi}{4})"),
    ("\\sum_{k=1}^{3} k", "6"),
    ("\\frac{n(n+1)}{2}", "\\sum_{k=1}^{n} k"),
    ("\\begin{pmatrix}1&2\\\\3&4\\end{pmatrix}", "\\begin{pmatrix}1&2\\\\3&5\\end{pmatrix}"),
    ("\\{1,2\\}", "\\{2,1\\}"),
    ("(1,2]", "[1,2]"),
    ("x<3", "3>x"),
    ("\\int_{0}^{1} x dx", "0.5"),
)


@functools.lru_cache(maxsize=64)
def _parse(text: str) -> Any:
    # The responses to one prompt share their ground truth.
    return latex2sympy(
        text,
        is_real=not should_treat_as_complex(text),
        convert_degrees=True,
        normalization_config=_NORMALIZATION,
        conversion_config=_CONVERSION,
    )


def compare(gold: str, answer: str) -> Status:
    """Compare two formulas; may take any time and memory.

    Args:
        gold: LaTeX that :func:`reward_fns._limits.refusal` lets pass.
        answer: Likewise.
    """
    try:
        left, right = _parse(gold), _parse(answer)
    except MemoryError:
        raise
    except Exception:
        # The parser raises anything, plain Exception included, on text it does not know.
        return Status.UNPARSED
    if isinstance(left, sympy.Symbol) != isinstance(right, sympy.Symbol):
        # math-verify would take the symbol abc for the product a·b·c.
        return Status.DIFFERENT
    try:
        same = verify(left, right, strict=True, timeout_seconds=None, raise_on_error=True)
    except MemoryError:
        raise
    except Exception:
        return Status.UNPARSED
    return Status.EQUAL if same else Status.DIFFERENT


def warm_up() -> None:
    """Load what a first comparison loads lazily: grammar tables, simplification rules."""
    for gold, answer in _WARM_UP:
        compare(gold, answer)
