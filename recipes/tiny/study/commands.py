"""Starts the commands that a user types, one after the other or side by side."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from lipo.common import LipoError
from lipo.common.processes import supervised

_LIPO = ("-c", "from lipo.cli import main; main()")
_POLL_SECONDS = 0.5
_TAIL = 8
_START_APART_SECONDS = 60
"""Starts hardly overlap: programs that start together may be given the same free port."""


def lipo(*arguments: str) -> None:
    """Run ``lipo …``, and stop the study where it fails."""
    python(*_LIPO, *arguments)


def python(*arguments: str) -> None:
    """Run ``python …`` with this interpreter; where the study is told to end, so is that."""
    with subprocess.Popen([sys.executable, *arguments]) as process:  # noqa: S603 (ours, no shell)
        before = signal.signal(signal.SIGTERM, lambda *_: process.terminate())
        try:
            status = process.wait()
        finally:
            signal.signal(signal.SIGTERM, before)
    if status:
        raise LipoError(f"a step of the study ended with status {status}", "see above; the same command continues")


def lipo_side_by_side(commands: Mapping[str, Sequence[str]], jobs: int, logs: Path) -> None:
    """Run several ``lipo …``, each with its output in ``<logs>/<name>.txt``.

    They start a minute apart and share the cores. Where one fails, the end of its log is shown and the others go on.
    When this process ends, however it ends, so do they and all that they started.

    Args:
        commands: Name to arguments, started in this order.
        jobs: How many at a time.
        logs: Directory of the logs.

    Raises:
        LipoError: One or more have failed; raised when all have ended.
    """
    environment = _one_share(jobs) | os.environ
    waiting = [(name, [sys.executable, *_LIPO, *arguments]) for name, arguments in commands.items()]
    waiting.reverse()
    running: dict[str, tuple[subprocess.Popen[bytes], ExitStack, float]] = {}
    failed = []
    started = -float("inf")
    with ExitStack() as all_running:
        while waiting or running:
            if waiting and len(running) < jobs and (time.monotonic() - started > _START_APART_SECONDS or not running):
                started = time.monotonic()
                name, command = waiting.pop()
                block = all_running.enter_context(ExitStack())
                process = block.enter_context(supervised(command, logs / f"{name}.txt", environment))
                running[name] = (process, block, time.monotonic())
                print(f"{name}: started, see {logs / name}.txt", flush=True)
            time.sleep(_POLL_SECONDS)
            for name, (process, block, start) in list(running.items()):
                if process.poll() is None:
                    continue
                del running[name]
                block.close()
                spent = f"after {(time.monotonic() - start) / 60:.1f} minutes"
                if process.returncode:
                    failed.append(name)
                    print(f"{name}: failed {spent}\n{_tail(logs / f'{name}.txt')}", flush=True)
                else:
                    print(f"{name}: done {spent}, {len(running) + len(waiting)} left", flush=True)
    if failed:
        raise LipoError(f"failed: {', '.join(failed)}", f"see above and {logs}; the same command continues")


def _one_share(jobs: int) -> dict[str, str]:
    """Threads for one of several trainings; those that wait for each other's cores slow a small model down."""
    cores = len(os.sched_getaffinity(0))
    return {"OMP_NUM_THREADS": str(max(1, cores // jobs)), "VLLM_CPU_OMP_THREADS_BIND": "nobind"}


def _tail(log: Path) -> str:
    lines = log.read_text("utf-8", errors="replace").splitlines()
    return "\n".join(f"    {line}" for line in lines[-_TAIL:])
