"""Stands between a program and the process that wants it; when either ends, the program's whole family is killed.

Run as a script by ``lipo.common.processes``. The pipe on its standard input is open as long as that process lives.
"""

from __future__ import annotations

import contextlib
import ctypes
import select
import signal
import subprocess
import sys
import time

import psutil

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_GRACE_SECONDS = 5


def _prctl(option: int, value: int) -> None:
    # Linux only; elsewhere the family is still killed, but for daemons that detached themselves.
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def _die_with_guardian() -> None:
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _kill_family() -> None:
    """Kill and reap every descendant until none is left; killing one may hand us its children."""
    for _ in range(50):
        family = psutil.Process().children(recursive=True)
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(family, timeout=2)
        if not psutil.Process().children(recursive=True):
            return
        time.sleep(0.05)


def guard(command: list[str]) -> int:
    """Run a program until it ends or standard input is closed; return its status as a shell would."""
    # Daemons detach from their parents; as subreaper this process inherits them, so that none escapes.
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    program = subprocess.Popen(command, stdin=subprocess.DEVNULL, preexec_fn=_die_with_guardian)  # noqa: S603
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while program.poll() is None:
        readable, _, _ = select.select([sys.stdin.fileno()], [], [], 0.2)
        if readable:
            program.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                program.wait(timeout=_GRACE_SECONDS)
            program.kill()
            break
    status = program.wait()
    _kill_family()
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(guard(sys.argv[1:]))
