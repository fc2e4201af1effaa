"""What of the working directory goes to the cluster: recipes and code, no data, weights or results."""

from __future__ import annotations

import fnmatch
import os
from pathlib import Path

from lipo.common import LipoError

EXCLUDES = (
    "/runs", "/outputs", "/models", "/data", "/wandb", "/build", "/dist",
    ".git", ".venv", "venv", "__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".hypothesis", "*.egg-info",
    "*.parquet", "*.bin", "*.pt", "*.pth", "*.gguf", "*.zip", "*.tar", "*.gz",
    ".env", "*.env", ".netrc", "*.pem", "*.key", "id_rsa*", "id_ed25519*", "secrets*",
)  # fmt: skip
"""Patterns, as .gitignore has them; the last line keeps credentials from going along by accident.

Folders of data and results are meant at the top only: further down, packages have such names.
"""
_LIMIT = 64 << 20
"""Ray's own limit is 500 MiB; that much is data, which belongs to a shared directory."""
_SHOWN = 3


def check_size(directory: Path, excludes: tuple[str, ...] = EXCLUDES) -> int:
    """Add up what would be sent.

    Args:
        directory: To be sent.
        excludes: Patterns of what is left out.

    Returns:
        Bytes.

    Raises:
        LipoError: No such directory, or more than 64 MiB; names the largest files.
    """
    if not directory.is_dir():
        raise LipoError(f"no directory {directory}", "correct --working-dir")
    sizes = []
    for root, folders, files in os.walk(directory):
        below = Path(root).relative_to(directory)
        folders[:] = [name for name in folders if not _excluded(below / name, excludes)]
        for name in files:
            path = Path(root) / name
            if not _excluded(below / name, excludes) and path.is_file() and not path.is_symlink():
                sizes.append((path.stat().st_size, path))
    total = sum(size for size, _ in sizes)
    if total > _LIMIT:
        largest = ", ".join(f"{path} ({size / 1e6:.0f} MB)" for size, path in sorted(sizes, reverse=True)[:_SHOWN])
        raise LipoError(
            f"{total / 1e6:.0f} MB would be sent to the cluster, above all {largest}",
            "keep data and weights in a directory of the cluster (--root), and add --exclude for the rest",
        )
    return total


def _excluded(path: Path, excludes: tuple[str, ...]) -> bool:
    """Whether a pattern meets a path below the directory: the whole path where it has a slash inside, else its name."""
    patterns = (pattern.rstrip("/") for pattern in excludes)
    return any(fnmatch.fnmatch(str(path) if "/" in p else path.name, p.removeprefix("/")) for p in patterns)
