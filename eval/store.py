"""Answers on disk: append-only JSONL, one row per response, safe against being killed at any point."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from lipo.common import LipoError


@dataclass(frozen=True)
class Answer:
    """What one model said to one question, or why it could not."""

    key: str
    """Hash of everything that affects the response."""
    item: int
    """Row number of the question."""
    sample: int
    """Number of the response among those to the same question."""
    response: str
    """Decoded text without special tokens; hostile."""
    tokens: int
    """Generated tokens, the end token included."""
    reasoning_tokens: int
    """Those of them up to ``</think>``."""
    prompt_tokens: int
    finish: str
    """``stop``, ``length`` (truncated) or ``error``."""
    error: str | None = None


def failed_answer(key: str, item: int, sample: int, why: str) -> Answer:
    """Make the row of a question that could not be answered."""
    return Answer(key, item, sample, "", 0, 0, 0, "error", why[:500])


class Keyed(Protocol):
    """A frozen dataclass of plain values that has a key."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def key(self) -> str:
        """Names the row."""


Row = TypeVar("Row", bound=Keyed)


class RowStore(Generic[Row]):
    """Rows of one dataclass in one file.

    Args:
        path: Need not exist yet.
        kind: The dataclass.

    Example:
        >>> with RowStore(Path("answers/base/math.jsonl"), Answer).writing() as append:  # doctest: +SKIP
        ...     append([Answer("k", 0, 0, "4", 1, 0, 9, "stop")])
    """

    def __init__(self, path: Path, kind: type[Row]) -> None:
        """Name the file."""
        self.path, self._kind = path, kind
        self._fields = {field.name for field in fields(kind)}

    def read(self, counts: Callable[[Row], bool] = lambda row: True) -> dict[str, Row]:
        """Read all whole rows by key; the first one of a key that ``counts`` is taken, unreadable ones do not exist."""
        rows: dict[str, Row] = {}
        if self.path.exists():
            with self.path.open("rb") as file:
                for line in file:
                    row = self._parse(line)
                    if row is not None and counts(row):
                        rows.setdefault(row.key, row)
        return rows

    def _parse(self, line: bytes) -> Row | None:
        try:
            row = json.loads(line)
        except ValueError:
            return None
        if not isinstance(row, dict) or not row.keys() >= self._fields or not line.endswith(b"\n"):
            return None
        return self._kind(**{name: row[name] for name in self._fields})

    @contextmanager
    def writing(self) -> Iterator[RowWriter]:
        """Lock the file, cut a torn last row, and yield a function that appends rows.

        Raises:
            LipoError: Another process is writing this file.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a+b") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise LipoError(
                    f"another evaluation is writing {self.path}", "wait for it, or choose another 'out'"
                ) from error
            _cut_torn_row(file.fileno())
            writer = RowWriter(file.fileno())
            try:
                yield writer
            finally:
                os.fsync(file.fileno())


class RowWriter:
    """Appends rows; each call is one write, so a kill tears at most the last row."""

    def __init__(self, handle: int) -> None:
        """Take an open, locked file."""
        self._handle = handle

    def __call__(self, rows: Iterable[Keyed]) -> None:
        """Append rows."""
        data = memoryview("".join(json.dumps(vars(row)) + "\n" for row in rows).encode())
        while data:
            data = data[os.write(self._handle, data) :]


def _cut_torn_row(handle: int) -> None:
    end = size = os.fstat(handle).st_size
    while end > 0:
        start = max(0, end - 65536)
        newline = os.pread(handle, end - start, start).rfind(b"\n")
        if newline >= 0:
            end = start + newline + 1
            break
        end = start
    if end < size:
        os.ftruncate(handle, end)
