"""Degenerate responses that go round in circles."""

from __future__ import annotations

_HARMLESS_CHARS = 1000
_PROBES = 8
_PROBE_CHARS = 16
_SUSPICIOUS = 4
_WORDS = 8
_MAX_CHARS_PER_WORD = 20


def repeated_share(text: str) -> float:
    """Return the share of a text's word 8-grams that occurred before in it.

    Texts below 1000 characters count as free of repetition. Longer ones are looked through only if one of eight short
    probes, evenly spaced, occurs four times: a loop that fills a fifth of the text always holds a probe. Text without
    spaces is taken in 16-grams of characters.

    Example:
        >>> repeated_share("let me check that again. " * 60) > 0.9
        True
    """
    length = len(text)
    if length < _HARMLESS_CHARS:
        return 0.0
    starts = [(2 * i + 1) * length // (2 * _PROBES) for i in range(_PROBES)]
    if max(text.count(text[start : start + _PROBE_CHARS]) for start in starts) < _SUSPICIOUS:
        return 0.0
    words = text.split()
    if len(words) * _MAX_CHARS_PER_WORD > length:
        total = len(words) - _WORDS + 1
        distinct = len(set(zip(*(words[i:] for i in range(_WORDS)), strict=False)))
    else:
        total = length - _PROBE_CHARS + 1
        distinct = len({text[i : i + _PROBE_CHARS] for i in range(total)})
    return 1.0 - distinct / total if total > 0 else 0.0
