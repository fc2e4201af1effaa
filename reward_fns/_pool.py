"""Symbolic comparison in processes that can be killed.

One call such as ``9**9**9`` holds Python's interpreter lock for hours, so neither a thread nor an alarm signal can stop
it: only the end of its process can. This side is thread-safe, starts its supervisor at the first use, starts a new one
after a fork, and is stopped with its process, however that ends.
"""

from __future__ import annotations

import atexit
import functools
import importlib.util
import itertools
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

from lipo.common import LipoError
from reward_fns._verdict import Status

_START = (
    "import sys, json; sys.path[:] = json.loads(sys.argv[1]); from reward_fns._supervisor import main; main({}, {})"
)
_PATIENCE = 120.0, 60.0
"""Seconds without a sign of life after which the supervisor itself is replaced, and per second allowed to a task."""
_PACKAGE = Path(__file__).resolve().parent


class _Call:
    """A task on its way."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.status: str | None = None


class _Supervised:
    """One running supervisor, its reader thread and its open calls."""

    def __init__(self, workers: int, memory_mb: int) -> None:
        # Modules named like the standard library's (reward_fns.math) must not come first on its path.
        path = [str(Path(entry).resolve()) for entry in dict.fromkeys([*sys.path, str(_PACKAGE.parent)])]
        command = [sys.executable, "-I", "-c", _START.format(workers, memory_mb)]
        # Plain descriptors: after a fork, file objects could wait for a lock that another thread held.
        requests, self.requests = os.pipe()
        self.replies, replies = os.pipe()
        self.process = subprocess.Popen(  # noqa: S603 - our own interpreter and code
            [*command, json.dumps([entry for entry in path if Path(entry) != _PACKAGE])], stdin=requests, stdout=replies
        )
        os.close(requests)
        os.close(replies)
        self.calls: dict[int, _Call] = {}
        self.numbers = itertools.count()
        self.lock = threading.Lock()
        self.ended = False
        self.failure = ""
        self.answered = 0
        threading.Thread(target=self._read, name="symbolic-replies", daemon=True).start()

    def _read(self) -> None:
        received = b""
        while data := os.read(self.replies, 1 << 16):
            *lines, received = (received + data).split(b"\n")
            for line in lines:
                self._take(*json.loads(line))
        with self.lock:
            self.ended = True
            calls, self.calls = list(self.calls.values()), {}
            os.close(self.replies)
        for call in calls:
            call.done.set()

    def _take(self, number: int | str, status: str) -> None:
        if number == "failed":
            self.failure = status
        elif isinstance(number, int):
            with self.lock:
                call = self.calls.pop(number)
            self.answered += 1
            call.status = status
            call.done.set()

    def submit(self, gold: str, answer: str, seconds: float) -> _Call | None:
        """Send a task; ``None`` if the supervisor has ended."""
        call = _Call()
        with self.lock:
            if self.ended:
                return None
            number = next(self.numbers)
            try:
                # Short enough to be written whole: two formulas of 300 characters.
                os.write(self.requests, (json.dumps([number, gold, answer, seconds]) + "\n").encode())
            except OSError:
                return None
            self.calls[number] = call
        return call

    def wait(self, call: _Call, patience: float) -> None:
        """Wait for a call; end a supervisor that has answered nobody for ``patience`` seconds."""
        answered = -1
        while not call.done.wait(patience):
            if answered == self.answered:
                self.process.kill()
            answered = self.answered

    def stop(self) -> None:
        """Close the pipe, which ends supervisor and workers, and wait for that."""
        with self.lock:
            self.ended = True
            os.close(self.requests)
        try:
            self.process.wait(timeout=5.0)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def forget(self) -> None:
        """In a forked child: let go of the pipe, so that its end shows when the parent ends."""
        os.close(self.requests)


class SymbolicPool:
    """Worker processes that compare formulas.

    Args:
        workers: How many run at a time.
        memory_mb: Address space of each, in MiB.
    """

    def __init__(self, workers: int, memory_mb: int) -> None:
        self._workers, self._memory_mb = workers, memory_mb
        self._lock = threading.Lock()
        self._supervised: _Supervised | None = None
        self._pid = os.getpid()

    def _running(self, broken: _Supervised | None) -> _Supervised:
        with self._lock:
            if self._supervised is None or self._supervised is broken:
                if broken is not None:
                    broken.stop()
                self._supervised = _Supervised(self._workers, self._memory_mb)
            return self._supervised

    def compare(self, gold: str, answer: str, seconds: float) -> Status:
        """Compare two formulas.

        Args:
            gold: LaTeX that :func:`reward_fns._limits.refusal` lets pass.
            answer: Likewise.
            seconds: Processor time; waiting for a worker does not count.

        Returns:
            ``EQUAL``, ``DIFFERENT``, ``UNPARSED``, or ``TIMEOUT`` if the comparison ran out of time or memory.

        Raises:
            LipoError: The workers cannot be started.
        """
        broken: _Supervised | None = None
        for _ in range(2):
            supervised = self._running(broken)
            call = supervised.submit(gold, answer, seconds)
            if call is not None:
                supervised.wait(call, _PATIENCE[0] + _PATIENCE[1] * seconds)
                if call.status is not None:
                    return Status(call.status)
            if supervised.failure:
                raise LipoError(
                    f"symbolic comparison cannot start: {supervised.failure}",
                    "install math-verify with 'pip install math-verify[antlr4_9_3]', or set symbolic=false",
                )
            # Someone killed the supervisor: start another and ask again, once.
            broken = supervised
        return Status.TIMEOUT

    def stop(self) -> None:
        """End all processes of this pool; the next comparison starts them again."""
        with self._lock:
            supervised, self._supervised = self._supervised, None
        if supervised is not None:
            supervised.stop()

    def forget(self) -> None:
        """In a forked child: leave the parent's processes alone and let go of the pipe to them."""
        supervised, self._supervised, self._lock = self._supervised, None, threading.Lock()
        if supervised is not None:
            supervised.forget()


_pools: dict[tuple[int, int], SymbolicPool] = {}
_pools_lock = threading.Lock()


def symbolic_pool(workers: int, memory_mb: int) -> SymbolicPool:
    """Return this process's pool of that size; it starts no process before the first comparison."""
    with _pools_lock:
        return _pools.setdefault((workers, memory_mb), SymbolicPool(workers, memory_mb))


def stop_pools() -> None:
    """End all worker processes of this process."""
    for pool in list(_pools.values()):
        pool.stop()


def _after_fork() -> None:
    global _pools_lock
    _pools_lock = threading.Lock()
    for pool in _pools.values():
        pool.forget()


atexit.register(stop_pools)
os.register_at_fork(after_in_child=_after_fork)


@functools.lru_cache(maxsize=1)
def require_math_verify() -> None:
    """Fail early, not at the first answer that needs it.

    Raises:
        LipoError: math-verify is not installed.
    """
    if importlib.util.find_spec("math_verify") is None:
        raise LipoError(
            "symbolic comparison needs math-verify, which is not installed",
            "pip install 'math-verify[antlr4_9_3]', or set symbolic=false in reward_kwargs",
        )
