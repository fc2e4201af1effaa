"""Workers that are threads of this process: nothing to start, and memory for one Python only."""

from __future__ import annotations

import ctypes
import os
import queue
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import psutil
import torch

from lipo.common import LipoError
from merge.executor import Task, dearest_last


class ThreadPool:
    """Threads; torch and hashing let go of Python's lock while they work."""

    def __init__(self, workers: int | None, device: str = "cpu") -> None:
        """Use at most ``workers`` threads: by default one per core, or one per GPU."""
        if device == "cuda" and not torch.cuda.is_available():
            raise LipoError("device is cuda, but torch sees no GPU here", "use device=cpu, or 'address' of a cluster")
        gpus = torch.cuda.device_count() if device == "cuda" else 0
        self._devices = [f"cuda:{index}" for index in range(gpus)] or ["cpu"]
        self.workers = workers or gpus or len(os.sched_getaffinity(0))

    def run(self, tasks: Sequence[Task]) -> Iterator[tuple[Task, Any]]:
        """See :class:`merge.executor.Pool`."""
        waiting = dearest_last(tasks)
        todo: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        done: queue.SimpleQueue[tuple[Task, Any, BaseException | None]] = queue.SimpleQueue()
        count = min(self.workers, len(waiting))
        # The number of threads within an operation changes the order of sums, hence the last bits.
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        threads = [
            threading.Thread(target=_work, args=(todo, done, self._devices[i % len(self._devices)]))
            for i in range(count)
        ]
        for thread in threads:
            thread.start()
        finished = False
        try:
            yield from _feed(waiting, count, todo, done)
            finished = True
        finally:
            for thread in threads:
                todo.put(None)
                if not finished:
                    _interrupt(thread)
            for thread in threads:
                thread.join()
            torch.set_num_threads(before)


def _feed(
    waiting: list[Task],
    workers: int,
    todo: queue.SimpleQueue[Task | None],
    done: queue.SimpleQueue[tuple[Task, Any, BaseException | None]],
) -> Iterator[tuple[Task, Any]]:
    memory = psutil.virtual_memory().available
    running: dict[str, Task] = {}
    while waiting or running:
        while waiting and len(running) < workers:
            # One task runs whatever it needs: the plan has checked that the machine has it.
            if running and sum(task.memory for task in (*running.values(), waiting[-1])) > memory:
                break
            task = waiting.pop()
            running[task.key] = task
            todo.put(task)
        task, result, error = done.get()
        del running[task.key]
        if isinstance(error, OSError):
            raise LipoError(f"{task.key}: {error}", "check files and disk; the same command continues") from error
        if error is not None:
            raise error
        yield task, result


class _Interrupted(BaseException):
    """Ends a thread whose result nobody waits for any more."""


def _work(todo: queue.SimpleQueue[Task | None], done: queue.SimpleQueue[Any], device: str) -> None:
    torch.set_num_threads(1)
    try:
        while (task := todo.get()) is not None:
            try:
                done.put((task, task.run(device), None))
            except _Interrupted:
                raise
            except BaseException as error:
                done.put((task, None, error))
    except _Interrupted:
        pass


def _interrupt(thread: threading.Thread) -> None:
    """Make the thread stop after the operation it is in, as Ctrl-C does in the main thread."""
    if thread.ident is not None:
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(_Interrupted))
