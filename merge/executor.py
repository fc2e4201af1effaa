"""Where tensors are merged: threads of this process by default, a Ray where there is one to use."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class Task:
    """One unit of work; must give the same result when run twice.

    Attributes:
        key: Unique name.
        function: A module-level function.
        arguments: Small and picklable.
        flops: Relative cost; the dearest tasks start first.
        memory: Bytes at the peak; no more tasks start than fit.
        on_device: Whether ``function`` takes a torch device as one more argument.
    """

    key: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    flops: float
    memory: int
    on_device: bool = False

    def run(self, device: str) -> Any:
        """Do the work here."""
        return self.function(*self.arguments, device) if self.on_device else self.function(*self.arguments)


def dearest_last(tasks: Sequence[Task]) -> list[Task]:
    """Order tasks for ``pop``: the largest first, so that none is left alone at the end."""
    return sorted(tasks, key=lambda task: (task.flops, task.key))


class Pool(Protocol):
    """Runs tasks, a bounded number at a time."""

    workers: int

    def run(self, tasks: Sequence[Task]) -> Iterator[tuple[Task, Any]]:
        """Run tasks, dearest first, and yield each with its result as it ends.

        Raises:
            LipoError: From a task, or because its worker died again and again.
        """


@contextlib.contextmanager
def connect(workers: int | None, address: str | None, device: str = "cpu") -> Iterator[Pool]:
    """Find workers: the Ray that this process has joined, else the one at ``address``, else threads.

    Args:
        workers: Tasks at a time; by default one per core, or per GPU.
        address: ``local`` starts a Ray of worker processes for this merge alone; else the address of a cluster, e.g.
            ``auto``; ``None`` stays in this process.
        device: ``cpu`` or ``cuda``.

    Yields:
        The pool. A Ray that was started or joined here is left again at the end, also after an error or Ctrl-C.

    Raises:
        LipoError: No cluster at ``address``, Ray does not start, or no GPU where one is asked for.
    """
    ray = sys.modules.get("ray")
    if address is None and not (ray and ray.is_initialized()):
        from merge._threads import ThreadPool

        yield ThreadPool(workers, device)
        return
    from merge._ray import joined

    with joined(workers, address, device) as pool:
        yield pool
