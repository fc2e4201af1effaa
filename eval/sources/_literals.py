"""Lists and mappings that tables hold as text, as Python or JSON writes them; nothing is ever evaluated."""

from __future__ import annotations

import ast
import json
from typing import Any

_LONGEST = 100_000
_DEEPEST = 8


def read_literal(text: Any) -> Any:
    """Turn the text of a list, tuple or mapping into it; give back anything else as it is.

    Args:
        text: E.g. ``"['5', 'five']"``, ``'["5"]'``, ``"{'subject': 'Algebra'}"``; untrusted.

    Returns:
        A list or dict, or ``text``.

    Example:
        >>> read_literal("['3/11', '8/11']"), read_literal("[a"), read_literal(5)
        (['3/11', '8/11'], '[a', 5)
    """
    if not isinstance(text, str) or not 1 < len(text) <= _LONGEST:
        return text
    inner = text.strip()
    if inner[:1] + inner[-1:] not in ("[]", "()", "{}") or _depth(inner) > _DEEPEST:
        return text
    for parse in (json.loads, ast.literal_eval):
        try:
            value = parse(inner)
        except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
            continue
        if isinstance(value, tuple):
            value = list(value)
        if isinstance(value, list | dict):
            return value
    return text


def _depth(text: str) -> int:
    depth = deepest = 0
    for character in text:
        if character in "[({":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "])}":
            depth -= 1
    return deepest
