"""Starts the commands that a user types."""

from __future__ import annotations

import subprocess
import sys

from lipo.common import LipoError


def lipo(*arguments: str) -> None:
    """Run ``lipo …``, and stop the study where it fails."""
    python("-c", "from lipo.cli import main; main()", *arguments)


def python(*arguments: str) -> None:
    """Run ``python …`` with this interpreter."""
    status = subprocess.run([sys.executable, *arguments], check=False).returncode  # noqa: S603 (ours, no shell)
    if status:
        raise LipoError(f"a step of the study ended with status {status}", "see above; the same command continues")
