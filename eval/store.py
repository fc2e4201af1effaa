"""Answers on disk: append-only JSONL, one row per response, safe against being killed at any point."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path

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
    prompt_tokens: int
    finish: str
    """``stop``, ``length`` (truncated) or ``error``."""
    error: str | None = None


class AnswerStore:
    """Answers of one model to one benchmark.

    Example:
        >>> with AnswerStore(Path("answers/base/math.jsonl")).writing() as append:  # doctest: +SKIP
        ...     append([Answer("k", 0, 0, "4", 1, 9, "stop")])
    """

    def __init__(self, path: Path) -> None:
        """Name the file; it need not exist yet."""
        self.path = path

    def read(self) -> dict[str, Answer]:
        """Read all whole rows by key; the first row of a key counts, unreadable rows do not exist."""
        answers: dict[str, Answer] = {}
        if self.path.exists():
            with self.path.open("rb") as file:
                for line in file:
                    answer = _parse(line)
                    if answer is not None:
                        answers.setdefault(answer.key, answer)
        return answers

    @contextmanager
    def writing(self) -> Iterator[AnswerWriter]:
        """Lock the file, cut a torn last row, and yield a function that appends answers.

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
            writer = AnswerWriter(file.fileno())
            try:
                yield writer
            finally:
                os.fsync(file.fileno())


class AnswerWriter:
    """Appends rows; each call is one write, so a kill tears at most the last row."""

    def __init__(self, handle: int) -> None:
        """Take an open, locked file."""
        self._handle = handle

    def __call__(self, answers: Iterable[Answer]) -> None:
        """Append answers."""
        rows = memoryview("".join(json.dumps(asdict(a)) + "\n" for a in answers).encode())
        while rows:
            rows = rows[os.write(self._handle, rows) :]


_FIELDS = {field.name for field in fields(Answer)}


def _parse(line: bytes) -> Answer | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None
    if not isinstance(row, dict) or not row.keys() >= _FIELDS or not line.endswith(b"\n"):
        return None
    return Answer(**{name: row[name] for name in _FIELDS})


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
