"""The process that owns the symbolic workers.

The pool (:mod:`reward_fns._pool`) starts one supervisor per process that scores. It imports math-verify once, then
forks workers from itself in milliseconds: it has no threads, so that is safe. It hands each task to one idle worker,
kills a worker that takes too long and forks another. It ends when its parent does, and so do the workers.

Protocol, one JSON array per line. In: ``[id, gold, answer, seconds]``. Out: first ``["ready", ""]`` or
``["failed", reason]``, then ``[id, status]``.
"""

from __future__ import annotations

import collections
import contextlib
import ctypes
import gc
import json
import os
import resource
import select
import signal
import sys
import time
from typing import Any, NoReturn

from reward_fns._verdict import Status

_REQUESTS = 0
"""File descriptor of the requests: standard input."""
_PR_SET_PDEATHSIG = 1
_HEARTBEAT = 1.0
"""Seconds between looks for a parent that died while another process held its end of the pipe open."""
_WALL_FACTOR, _WALL_EXTRA = 30.0, 60.0
"""A worker's time is processor time; should that clock stand still, the wall's ends it: late, for a busy machine."""
_TASKS_PER_WORKER = 500
"""SymPy's caches grow; a worker is replaced after so many tasks."""

_FORBIDDEN = ("os.", "subprocess.", "socket.", "shutil.", "ctypes.", "pty.", "webbrowser.")
_READING = ("os.listdir", "os.scandir")

Task = tuple[int, str, str, float]


def _deny_side_effects(event: str, arguments: tuple[Any, ...]) -> None:
    """Audit hook: no writing, no processes, no network. Formulas need none; this is a second fence, not the first."""
    if event == "open":
        flags = arguments[2] if isinstance(arguments[2], int) else 0
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND):
            raise PermissionError("symbolic workers do not write")
    elif event.startswith(_FORBIDDEN) and event not in _READING:
        raise PermissionError(f"symbolic workers do not use {event}")


def _work(tasks: int, results: int, memory_mb: int) -> None:
    """Serve tasks, one line each, until end of file."""
    from reward_fns._symbolic import compare

    resource.setrlimit(resource.RLIMIT_AS, (memory_mb << 20, memory_mb << 20))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.addaudithook(_deny_side_effects)
    with os.fdopen(tasks, encoding="utf-8") as lines:
        for _, line in zip(range(_TASKS_PER_WORKER), lines, strict=False):
            gold, answer, seconds = json.loads(line)
            # The clock starts here and counts only this process; on expiry the kernel ends it, whatever it is doing.
            signal.setitimer(signal.ITIMER_PROF, seconds)
            status = compare(gold, answer)
            signal.setitimer(signal.ITIMER_PROF, 0.0)
            os.write(results, f"{status}\n".encode())


class _Worker:
    """One forked worker and the task it has."""

    def __init__(self, memory_mb: int, inherited: list[int]) -> None:
        task_read, self.tasks = os.pipe()
        self.results, result_write = os.pipe()
        self.task: int | None = None
        self.deadline = 0.0
        supervisor = os.getpid()
        self.pid = os.fork()
        if not self.pid:
            try:
                ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
                for descriptor in (self.tasks, self.results, *inherited):
                    os.close(descriptor)
                if os.getppid() == supervisor:
                    _work(task_read, result_write, memory_mb)
            finally:
                os._exit(0)
        os.close(task_read)
        os.close(result_write)

    def give(self, task: Task) -> None:
        """Start a task."""
        number, gold, answer, seconds = task
        self.task, self.deadline = number, time.monotonic() + _WALL_FACTOR * seconds + _WALL_EXTRA
        # A worker that has just reached its last task is gone: its end of file is read as a lost task.
        with contextlib.suppress(BrokenPipeError):
            os.write(self.tasks, (json.dumps([gold, answer, seconds]) + "\n").encode())

    def end(self) -> None:
        """Kill and reap."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.tasks)
        os.close(self.results)


class _Supervisor:
    """Distributes tasks over at most ``count`` workers."""

    def __init__(self, replies: int, count: int, memory_mb: int) -> None:
        self.replies, self.count, self.memory_mb = replies, count, memory_mb
        self.parent = os.getppid()
        self.workers: list[_Worker] = []
        self.queue: collections.deque[Task] = collections.deque()
        self.received = b""

    def reply(self, number: int, status: str) -> None:
        os.write(self.replies, (json.dumps([number, status]) + "\n").encode())

    def dispatch(self) -> None:
        while self.queue:
            worker = next((worker for worker in self.workers if worker.task is None), None)
            if worker is None:
                if len(self.workers) == self.count:
                    return
                inherited = [_REQUESTS, self.replies]
                inherited += [fd for other in self.workers for fd in (other.tasks, other.results)]
                worker = _Worker(self.memory_mb, inherited)
                self.workers.append(worker)
            worker.give(self.queue.popleft())

    def lose(self, worker: _Worker) -> None:
        """Replace a worker that died or must; its task, if any, was stopped."""
        self.workers.remove(worker)
        worker.end()
        if worker.task is not None:
            self.reply(worker.task, Status.TIMEOUT)

    def collect(self, worker: _Worker) -> None:
        result = os.read(worker.results, 256).decode().strip()
        if result and worker.task is not None:
            self.reply(worker.task, result)
            worker.task = None
        else:
            self.lose(worker)

    def receive(self) -> bool:
        """Queue new tasks; ``False`` at the end of the requests."""
        data = os.read(_REQUESTS, 1 << 16)
        *lines, self.received = (self.received + data).split(b"\n")
        self.queue.extend(tuple(json.loads(line)) for line in lines)
        return bool(data)

    def run(self) -> None:
        """Serve until the parent closes the pipe or dies."""
        while os.getppid() == self.parent:
            self.dispatch()
            now = time.monotonic()
            deadlines = [worker.deadline - now for worker in self.workers if worker.task is not None]
            sources = {worker.results: worker for worker in self.workers}
            readable, _, _ = select.select([_REQUESTS, *sources], [], [], max(0.0, min([_HEARTBEAT, *deadlines])))
            for descriptor in readable:
                if descriptor in sources:
                    self.collect(sources[descriptor])
                elif not self.receive():
                    return
            now = time.monotonic()
            for worker in [w for w in self.workers if w.task is not None and w.deadline < now]:
                self.lose(worker)


def main(count: int, memory_mb: int) -> NoReturn:
    """Run the supervisor on standard input and output."""
    # Ctrl-C reaches the whole foreground group; the parent decides when to end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    replies = os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    # Libraries print warnings and parse errors of hostile text.
    os.dup2(null, 1)
    os.dup2(null, 2)
    supervisor = _Supervisor(replies, count, memory_mb)
    try:
        from reward_fns import _symbolic

        _symbolic.warm_up()
        # Workers share what is loaded now; a collection in one of them would copy all of it.
        gc.freeze()
    except Exception as error:
        os.write(replies, (json.dumps(["failed", f"{type(error).__name__}: {error}"]) + "\n").encode())
        os._exit(1)
    os.write(replies, (json.dumps(["ready", ""]) + "\n").encode())
    try:
        supervisor.run()
    finally:
        for worker in supervisor.workers:
            worker.end()
        os._exit(0)
