"""Runs a child program so that nothing of it outlives us, however it or we end."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

_GUARDIAN = Path(__file__).with_name("_guardian.py")


@contextmanager
def supervised(
    command: Sequence[str], log: Path, environment: Mapping[str, str], directory: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a program in a session of its own; when the block or this process ends, whatever it started is gone.

    A guardian process runs the program, inherits the daemons (Ray's, vLLM's) that detach themselves, and kills them
    all as soon as the program ends, the block ends, or this process is gone, even by ``kill -9``.

    Args:
        command: Program and arguments.
        log: Receives standard output and error, appended.
        environment: The whole environment.
        directory: Working directory.

    Yields:
        The guardian; its status is the program's, or 128 + n where signal n ended it.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        guardian = subprocess.Popen(  # noqa: S603 (the command is ours, no shell)
            # -P: the guardian's folder must not shadow modules of the standard library.
            [sys.executable, "-P", str(_GUARDIAN), *command],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            cwd=directory,
            start_new_session=True,
        )
    try:
        yield guardian
    finally:
        if guardian.stdin:
            guardian.stdin.close()
        guardian.wait()
