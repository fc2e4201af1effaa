"""Options of multiple-choice questions: which letter an answer names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from reward_fns._text import plain

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

_LEAD = re.compile(r"(?:the\s+)?(?:correct\s+|final\s+)?(?:answer|option|choice)(?:\s+is)?\s*:?\s*", re.IGNORECASE)
_LETTER = re.compile(r"[(\[]?([A-Za-z])[)\]]?[.:]?")
_LETTER_AND_TEXT = re.compile(r"(?:[(\[]([A-Za-z])[)\]]\s*[.:]?|([A-Za-z])\s*[.:)])\s*(\S.*)", re.DOTALL)


def option_texts(extra_info: Mapping[str, Any] | None) -> list[str]:
    """Find the texts of the options in ``extra_info["options"]`` or ``["choices"]``: a list, or a mapping by letter."""
    found = (
        next((extra_info[key] for key in ("options", "choices") if extra_info.get(key) is not None), ())
        if (extra_info)
        else ()
    )
    if isinstance(found, Mapping):
        found = [text for _, text in sorted(found.items())]
    if isinstance(found, str) or not (isinstance(found, Sequence) or hasattr(found, "tolist")):
        return []
    return [str(text) for text in found]


def read_choice(text: str, options: Sequence[str]) -> str | None:
    """Read which option a cleaned answer names.

    Args:
        text: ``B``, ``(B)``, ``B. 12 cm``, ``Option B`` or the text of an option.
        options: Their texts, first is A; may be empty.

    Returns:
        The letter; ``None`` if no single option is named, or letter and text contradict each other.

    Example:
        >>> read_choice("(b)", []), read_choice("12 cm", ["9 cm", "12 cm"]), read_choice("A. 12 cm", ["9 cm", "12 cm"])
        ('B', 'B', None)
    """
    known = LETTERS[: len(options)] if options else LETTERS[:10]
    by_text = [known[i] for i, option in enumerate(options) if plain(option) == plain(text)]
    if len(by_text) == 1 and len(text) > 1:
        return by_text[0]
    text = _LEAD.sub("", text, count=1).strip() if _LEAD.match(text) else text
    if match := _LETTER.fullmatch(text):
        letter = match.group(1).upper()
        return letter if letter in known else None
    if match := _LETTER_AND_TEXT.fullmatch(text):
        letter = (match.group(1) or match.group(2)).upper()
        named = [known[i] for i, option in enumerate(options) if plain(option) == plain(match.group(3)).rstrip(".")]
        return letter if letter in known and (not named or letter in named) else None
    return None
