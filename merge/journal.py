"""What a merge has finished, so that a killed one continues; and the lock that keeps a second one out."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from lipo.common import LipoError


class Journal:
    """An append-only file of finished tasks, one JSON line each.

    A line torn by a kill is dropped. Lines may outlive their data after a crash of the machine: whoever resumes
    compares the recorded hashes with the bytes on disk.
    """

    def __init__(self, path: Path) -> None:
        """Open or create the journal and read what it holds."""
        self.records: dict[str, dict[str, Any]] = {}
        whole = 0
        if path.exists():
            for line in path.read_bytes().splitlines(keepends=True):
                if not line.endswith(b"\n"):
                    break
                try:
                    entry = json.loads(line)
                except ValueError:
                    break
                self.records[entry["key"]] = entry["record"]
                whole += len(line)
            os.truncate(path, whole)
        self._file: IO[bytes] = path.open("ab")

    def add(self, key: str, record: dict[str, Any]) -> None:
        """Note that a task is finished."""
        self.records[key] = record
        self._file.write(json.dumps({"key": key, "record": record}).encode() + b"\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


@contextlib.contextmanager
def workspace(out: Path, fingerprint: str) -> Iterator[Path]:
    """Yield the hidden directory in which ``out`` is made, the same one for the same merge.

    Leftovers of other merges into ``out`` are removed. After an exception or a kill the directory stays, to be
    continued; the caller moves its content away and it is removed when the block succeeds.

    Raises:
        LipoError: Another process is merging into ``out``.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    mine = out.parent / f".{out.name}.{fingerprint[:16]}.merging"
    mine.mkdir(exist_ok=True)
    with contextlib.ExitStack() as held:
        # No glob: of "scale1" it would also match the work on "scale1.5", and of "amm[v2]" not its own.
        ours = re.compile(re.escape(f".{out.name}.") + r"[0-9a-f]{16}\.merging")
        for directory in sorted(path for path in out.parent.iterdir() if ours.fullmatch(path.name)):
            lock = held.enter_context((directory / "lock").open("w"))
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise LipoError(
                    f"another process is merging into {out}", "wait for it or choose another 'out'"
                ) from None
            if directory != mine:
                shutil.rmtree(directory)
        yield mine
        shutil.rmtree(mine)
