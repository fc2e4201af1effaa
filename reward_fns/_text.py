"""Characters: what is invisible, what is forbidden, and which spellings are the same character."""

from __future__ import annotations

import re
import unicodedata

# Overrides and embeddings make text read otherwise than it is compared; controls and surrogates belong in no answer.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
_INVISIBLE = re.compile("[\u00ad\u034f\u061c\u180e\u200b-\u200f\u2060-\u2064\ufe00-\ufe0f\ufeff\U000e0000-\U000e01ef]")

_SAME = {
    **{ord(full): chr(ord(full) - 0xFEE0) for full in map(chr, range(0xFF01, 0xFF5F))},
    **dict.fromkeys(map(ord, "\u00a0\u1680\u202f\u205f\u3000"), " "),
    **dict.fromkeys(range(0x2000, 0x200B), " "),
    **dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63"), "-"),
    **dict.fromkeys(map(ord, "\u2018\u2019\u201a\u201b\u2032\u00b4"), "'"),
    **dict.fromkeys(map(ord, "\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb"), '"'),
    **dict.fromkeys(map(ord, "\u3001\u060c"), ","),
    ord("\u3002"): ".",
    ord("\u066b"): ".",
    ord("\u2215"): "/",
    ord("\u2044"): "/",
}


def clean_characters(text: str) -> str | None:
    r"""Drop invisible characters and unify the widths and shapes of letters, digits, dashes, quotes and spaces.

    Args:
        text: Hostile.

    Returns:
        The text, or ``None`` if it holds control characters, surrogates or bidirectional overrides.

    Example:
        >>> clean_characters("\uff11\u200b\uff12 \u2212 3"), clean_characters("8\u202e5")
        ('12 - 3', None)
    """
    if text.isascii():
        return None if _FORBIDDEN.search(text) else text
    if _FORBIDDEN.search(text):
        return None
    text = _INVISIBLE.sub("", unicodedata.normalize("NFC", text)).translate(_SAME)
    # Digits of other scripts have the same values: int() and re.ASCII patterns must not disagree about them.
    return "".join(str(unicodedata.digit(c)) if c.isdecimal() and not c.isascii() else c for c in text)


def plain(text: str) -> str:
    """Fold case and collapse white space."""
    return " ".join(text.casefold().split())
