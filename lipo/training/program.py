"""Runs one of verl's trainers to its end, and finds its checkpoints."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from lipo.common import LipoError
from lipo.common.processes import supervised

_POLL_SECONDS = 0.5


class Step(Protocol):
    """What a trainer reports of one step."""

    @property
    def step(self) -> int:
        """Number of the step, from 1."""


S = TypeVar("S", bound=Step)


def reporter(
    read: Callable[[], Sequence[S]], on_step: Callable[[S], None] | None, on_wait: Callable[[], None] | None
) -> Callable[[], None]:
    """Make the ``poll`` of :func:`run_program` that passes every step on, once.

    Args:
        read: Reads all steps so far, ascending.
        on_step: Called for each finished step, those of earlier attempts included.
        on_wait: Called at every poll.
    """
    reported = 0

    def poll() -> None:
        nonlocal reported
        for entry in read():
            if entry.step > reported:
                reported = entry.step
                if on_step:
                    on_step(entry)
        if on_wait:
            on_wait()

    return poll


def run_program(
    command: Sequence[str], directory: Path, environment: Mapping[str, str], poll: Callable[[], None]
) -> None:
    """Run a trainer; its output goes to ``log.txt``.

    Args:
        command: Program and arguments.
        directory: Of the run.
        environment: The whole environment.
        poll: Called about twice a second, and once after the end.

    Raises:
        LipoError: It ended with an error; the message quotes it and names the log.
    """
    log = directory / "log.txt"
    start_of_log = log.stat().st_size if log.exists() else 0
    with supervised(command, log, environment) as process:
        while True:
            ended = process.poll() is not None
            poll()
            if ended:
                break
            time.sleep(_POLL_SECONDS)
    if process.returncode != 0:
        raise LipoError(
            f"training ended with status {process.returncode}: {_last_error(log, start_of_log)}",
            f"see {log}; the same command continues from step {last_step(directory)}",
        )


def last_step(directory: Path) -> int:
    """Step of the newest whole checkpoint; verl writes this file after the checkpoint itself."""
    marker = directory / "latest_checkpointed_iteration.txt"
    return int(marker.read_text(encoding="utf-8")) if marker.is_file() else 0


def require_saved(directory: Path, planned: int, advice: str = "") -> int:
    """Step of the newest whole checkpoint, which has to be the last one: an earlier model is not the finished one.

    Args:
        directory: Of the run.
        planned: Number of the last step; 0 where only verl knows it.
        advice: What to do besides reading the log.

    Raises:
        LipoError: The checkpoint is of an earlier step.
    """
    if (done := last_step(directory)) < planned:
        raise LipoError(
            f"verl ended, with step {done} of {planned} as the last that it saved", f"see {directory}/log.txt{advice}"
        )
    return done


def _last_error(log: Path, offset: int) -> str:
    with log.open("rb") as file:
        file.seek(offset)
        lines = file.read().decode("utf-8", errors="replace").splitlines()
    errors = [line.strip() for line in lines if re.search(r"(^|\s|\.)[A-Z]\w*(Error|Exception)\b.*:", line)]
    return (errors or lines or ["no output"])[-1][-500:]
