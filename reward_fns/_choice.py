"""Options of multiple-choice questions: which letter an answer names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from reward_fns._text import plain

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

_LEAD = re.compile(
    r"(?:the\s+)?(?:correct\s+|final\s+)?(?:answer|option|choice)(?:\s+is)?\s*:?\s*(?:(?:option|choice)\s+)?",
    re.IGNORECASE,
)
_LETTER = re.compile(r"[(\[]?([A-Za-z])[)\]]?[.:]?")
_LETTER_AND_TEXT = re.compile(r"(?:[(\[]([A-Za-z])[)\]]\s*[.:]?|([A-Za-z])\s*[.:)])\s*(\S.*)", re.DOTALL)
# A letter on its own, or in brackets; "A triangle" and "I think" begin with words.
_OTHER_LETTER = re.compile(r"(?<![^\W_])(?:[AI](?!\s+[a-z])|[B-HJ-Z])(?![^\W_])|[(\[][a-z][)\]]")


def names_another(letter: str, text: str, known: str = LETTERS[:10]) -> bool:
    """Whether what stands behind an option's letter names another option, as in ``B. or C``: then none was chosen.

    Example:
        >>> names_another("B", "12 cm"), names_another("B", "a triangle, not (c)"), names_another("B", "A triangle")
        (False, True, False)
    """
    found = (match.group().strip("()[]").upper() for match in _OTHER_LETTER.finditer(text))
    return any(other != letter and other in known for other in found)


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
    # An option's letter is that letter, also where another option's text is the same.
    if len(by_text) == 1 and text and text.upper() not in tuple(known):
        return by_text[0]
    text = _LEAD.sub("", text, count=1).strip() if _LEAD.match(text) else text
    if match := _LETTER.fullmatch(text):
        letter = match.group(1).upper()
        return letter if letter in known else None
    if match := _LETTER_AND_TEXT.fullmatch(text):
        letter = (match.group(1) or match.group(2)).upper()
        return letter if letter in known and _agrees(letter, match.group(3), known, options) else None
    return None


def _agrees(letter: str, rest: str, known: str, options: Sequence[str]) -> bool:
    """Whether what stands behind a letter is its option's text, or at least no other option."""
    told = plain(rest).rstrip(".")
    texts = [plain(option) for option in options]
    if told in texts:
        return told == texts[known.index(letter)]
    own = texts[known.index(letter)] if texts else ""
    others = [text for text in texts if len(text) > 1 and text not in own]
    mentioned = any(re.search(rf"(?<!\w){re.escape(text)}(?!\w)", told) for text in others)
    return not mentioned and not names_another(letter, rest, known)
