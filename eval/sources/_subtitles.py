"""Subtitles (SubRip) of the moments at which a clip's frames are shown."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

_LARGEST = 8 << 20
"""Bytes; hours of talk are a tenth of it."""
_TIMES = re.compile(r"(\d+):(\d{1,2}):(\d{1,2})[,.](\d{1,3})\s*-->\s*(\d+):(\d{1,2}):(\d{1,2})[,.](\d{1,3})")
_TAG = re.compile(r"<[^<>]{0,200}>|\{\\[^{}]{0,200}\}")


def read_subtitles(path: Path) -> list[tuple[float, float, str]]:
    """Read a SubRip file; blocks that are none are left out.

    Returns:
        (first second, last second, text) in the file's order, without markup.

    Raises:
        ValueError: It is too large.
    """
    if path.stat().st_size > _LARGEST:
        raise ValueError(f"{path.name} is no file of subtitles: more than {_LARGEST >> 20} MiB")
    found = []
    text = path.read_bytes().decode("utf-8-sig", "replace").replace("\r\n", "\n").replace("\r", "\n")
    for block in re.split(r"\n[ \t]*\n", text):
        lines = block.strip().split("\n")
        at = next((i for i, line in enumerate(lines[:2]) if _TIMES.search(line)), None)
        match = _TIMES.search(lines[at]) if at is not None else None
        if match is None or at is None:
            continue
        h1, m1, s1, f1, h2, m2, s2, f2 = match.groups()
        begin = int(h1) * 3600 + int(m1) * 60 + int(s1) + int(f1.ljust(3, "0")) / 1000
        end = int(h2) * 3600 + int(m2) * 60 + int(s2) + int(f2.ljust(3, "0")) / 1000
        words = " ".join(" ".join(_TAG.sub("", line) for line in lines[at + 1 :]).split())
        if words:
            found.append((begin, end, words))
    return found


def spoken_at(subtitles: Sequence[tuple[float, float, str]], times: Sequence[float]) -> list[str]:
    """Choose the subtitles that are shown at these times, each once, in order.

    Example:
        >>> spoken_at([(0, 2, "Hello."), (2, 4, "Good bye."), (4, 6, "Never shown.")], [0.5, 1.0, 3.0])
        ['Hello.', 'Good bye.']
    """
    return [text for begin, end, text in subtitles if any(begin <= time < end for time in times)]
