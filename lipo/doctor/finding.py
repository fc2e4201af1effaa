"""What one check found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "note", "fail"]


@dataclass(frozen=True)
class Finding:
    """The outcome of one check.

    Attributes:
        level: ``ok``; ``note`` where training would start, but not as it was tested; ``fail`` where it would not start.
        what: What was found, in plain words.
        fix: What to do about it; empty for ``ok``.
    """

    level: Level
    what: str
    fix: str = ""
