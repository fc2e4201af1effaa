"""Files that appear under their final name only when whole, even if the process is killed while writing."""

from __future__ import annotations

import contextlib
import fcntl
import glob
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from lipo.common.errors import LipoError


def sync_directory(path: Path) -> None:
    """Make a rename in a directory last through a crash of the machine."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def atomic_write(path: Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Open a temporary file beside ``path``; on success flush it to disk and rename it to ``path``.

    Args:
        path: Final name; an existing file is replaced.
        mode: ``w`` (UTF-8 text) or ``wb``.

    Yields:
        The open temporary file. After an exception nothing is left and ``path`` is untouched.

    Example:
        >>> with atomic_write(Path("table.md")) as file:
        ...     _ = file.write("| a |")
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(handle, mode, encoding=None if "b" in mode else "utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(name, 0o666 & ~umask)
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
        raise
    sync_directory(path.parent)


@contextlib.contextmanager
def atomic_directory(final: Path) -> Iterator[Path]:
    """Yield a new directory beside ``final`` that becomes ``final`` when the block succeeds.

    Args:
        final: Must not exist yet.

    Yields:
        The directory to fill. After an exception it is removed; after a kill it stays behind under a hidden name
        and is removed by the next call for the same ``final``.

    Raises:
        LipoError: ``final`` exists already.
    """
    if final.exists():
        raise LipoError(f"{final} exists already", "choose another name or remove it")
    final.parent.mkdir(parents=True, exist_ok=True)
    # mkdtemp's eight characters: "model.v2" is another's.
    for stale in final.parent.glob(f".{glob.escape(final.name)}.{8 * '[a-z0-9_]'}.partial"):
        shutil.rmtree(stale, ignore_errors=True)
    work = Path(tempfile.mkdtemp(prefix=f".{final.name}.", suffix=".partial", dir=final.parent))
    try:
        yield work
        for file in sorted(work.rglob("*")):
            if file.is_file():
                with file.open("rb") as stream:
                    os.fsync(stream.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(work, 0o777 & ~umask)
        os.rename(work, final)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise
    sync_directory(final.parent)


@contextlib.contextmanager
def only_one(lock: Path, purpose: str) -> Iterator[None]:
    """Keep a second process out while the block runs; the kernel lifts the lock when this process ends.

    Args:
        lock: Lock file; stays behind, empty.
        purpose: What the lock is for, e.g. ``"training in runs/demo"``.

    Raises:
        LipoError: Another process holds the lock.
    """
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LipoError(f"another process is at {purpose}", "wait for it, or choose another directory") from None
        yield


def require_free_space(directory: Path, needed: int, purpose: str) -> None:
    """Refuse to start work that the disk cannot hold.

    Args:
        directory: Where the files will go; need not exist yet.
        needed: Bytes.
        purpose: What the space is for, e.g. ``"the merged model"``.

    Raises:
        LipoError: Less than ``needed`` bytes are free.
    """
    existing = directory.absolute()
    while not existing.exists():
        existing = existing.parent
    free = shutil.disk_usage(existing).free
    if free < needed:
        raise LipoError(
            f"{purpose} needs {needed / 1e9:.2f} GB but {existing} has {free / 1e9:.2f} GB free",
            "free space or choose another directory",
        )


def sha256_file(path: Path) -> str:
    """Hash a file's bytes, in pieces of 1 MiB."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
