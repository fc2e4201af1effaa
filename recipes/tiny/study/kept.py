"""Measurements kept beside the results, so that a study can be continued on another machine.

Models and answers stay in a study's ``out``, which is large and not committed. What was measured of them is small and
is: ``<results>/<name>.json``, one file for each part of the study, written when the part is done.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lipo.common import LipoError, atomic_write
from recipes.tiny.study.provenance import versions


def keep(file: Path, settings: Mapping[str, Any], measured: Mapping[str, Any]) -> None:
    """Write what was measured of one part.

    Args:
        file: ``<results>/<name>.json``.
        settings: All that the measurements depend on.
        measured: Plain data.
    """
    content = {"settings": settings, "versions": versions(), "measured": measured}
    with atomic_write(file) as stream:
        json.dump(content, stream, separators=(",", ":"))
        stream.write("\n")


def kept(file: Path, settings: Mapping[str, Any]) -> dict[str, Any] | None:
    """Read what was measured of one part.

    Args:
        file: From :func:`keep`.
        settings: As they are now; null where that cannot be told, as of a model on another machine.

    Returns:
        Plain data; null where the part has not been measured.

    Raises:
        LipoError: It was measured with other settings.
    """
    if not file.is_file():
        return None
    content = json.loads(file.read_text("utf-8"))
    made, now = content["settings"], json.loads(json.dumps(settings))
    unknown = {key for key, value in now.items() if value is None}
    changed = sorted(key for key in {*made, *now} - unknown if made.get(key) != now.get(key))
    if changed:
        raise LipoError(
            f"{file} was measured with other settings ({', '.join(changed)})",
            "remove it to measure anew, or choose other 'results'",
        )
    measured: dict[str, Any] = content["measured"]
    return measured


def measured_with(file: Path) -> dict[str, str]:
    """Read which versions measured one part."""
    found: dict[str, str] = json.loads(file.read_text("utf-8"))["versions"]
    return found
