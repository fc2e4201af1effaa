"""Finds a Python that the dependencies have wheels for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

SUPPORTED = ((3, 11), (3, 12))
WANTED = "Python 3.11 or 3.12"
_ASK = "import sys; print(getattr(sys, '_base_executable', sys.executable)); print(*sys.version_info[:3])"


class Interpreter(NamedTuple):
    """A Python that runs: the base interpreter behind it (never one inside a virtual environment) and its version."""

    path: str
    version: tuple[int, ...]

    @property
    def supported(self) -> bool:
        """Whether the pinned versions have wheels for it."""
        return self.version[:2] in SUPPORTED

    def __str__(self) -> str:
        """Name it as a user would."""
        return f"Python {'.'.join(map(str, self.version))} ({self.path})"


class NoPythonError(Exception):
    """No usable Python; the message says what was found."""


def ask(command: str) -> Interpreter | None:
    """Start ``command`` and ask what it is; ``None`` where it does not run (such as a shim with nothing behind)."""
    try:
        reply = subprocess.run([command, "-c", _ASK], capture_output=True, text=True, timeout=30, check=True)
        path, version = reply.stdout.split("\n")[:2]
        return Interpreter(path, tuple(int(part) for part in version.split()))
    except (OSError, subprocess.SubprocessError, ValueError):
        return None


def _on_path() -> list[str]:
    places = [Path(place) for place in os.environ.get("PATH", "").split(os.pathsep) if place]
    names = [f"python{major}.{minor}" for major, minor in SUPPORTED]
    found = [place / name for name in names for place in places]
    return [str(file) for file in found if os.access(file, os.X_OK)]


def find(requested: str | None = None) -> Interpreter:
    """Choose the interpreter for the environment.

    Args:
        requested: The user's choice (a command or a path); without it, the Python that runs this script where it will
            do, else the first ``python3.11`` or ``python3.12`` on the PATH that starts.

    Returns:
        A supported interpreter.

    Raises:
        NoPythonError: The requested one, or every one found, is missing or of another version.
    """
    first = requested or sys.executable
    found = ask(first)
    if found is not None and found.supported:
        return found
    what = str(found) if found is not None else f"'{first}', which does not start"
    if requested:
        raise NoPythonError(f"{WANTED} is needed; PYTHON is {what}")
    for command in _on_path():
        other = ask(command)
        if other is not None and other.supported:
            return other
    raise NoPythonError(f"{WANTED} is needed; found {what}, and no working python3.11 or python3.12 on the PATH")
