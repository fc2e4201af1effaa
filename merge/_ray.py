"""Workers that are Ray's: processes on this machine or on a cluster, one task per CPU or one actor per GPU."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections.abc import Iterator, Sequence
from typing import Any

import ray
import torch
from ray.exceptions import (
    ActorDiedError,
    NodeDiedError,
    OutOfMemoryError,
    RayTaskError,
    WorkerCrashedError,
)

from lipo.common import LipoError
from lipo.common.local_ray import local_ray, reach
from merge.executor import Task, dearest_last

# A task that took its worker down three times will do so again.
_RETRIES = 3
# Tasks exchange paths and small records, never tensors.
_OBJECT_STORE = 100 * 2**20


class RayPool:
    """A bound on the tasks in flight on the Ray that this process has joined."""

    def __init__(self, workers: int | None, device: str = "cpu") -> None:
        """Use at most ``workers`` tasks at a time: by default one per CPU, or one per GPU."""
        resources = ray.cluster_resources()
        self.workers = workers or int(resources.get("GPU" if device == "cuda" else "CPU", 1)) or 1
        nodes = [node["Resources"].get("memory", 0) for node in ray.nodes() if node["Alive"]]
        self._largest = max(nodes, default=0)
        self._idle: list[Any] = []
        if device == "cuda":
            gpus = int(resources.get("GPU", 0))
            if not gpus:
                raise LipoError("device is cuda, but the Ray cluster has no GPU", "use device=cpu, or another cluster")
            # Ray ends the process of a GPU task after each one; an actor keeps its CUDA context.
            self.workers = min(self.workers, gpus)
            actor_class: Any = _GpuWorker
            self._idle = [actor_class.remote() for _ in range(self.workers)]

    def run(self, tasks: Sequence[Task]) -> Iterator[tuple[Task, Any]]:
        """See :class:`merge.executor.Pool`."""
        waiting = dearest_last(tasks)
        running: dict[Any, tuple[Task, Any]] = {}
        try:
            while waiting or running:
                while waiting and len(running) < self.workers:
                    task = waiting.pop()
                    actor = self._idle.pop() if self._idle and task.on_device else None
                    running[self._submit(task, actor)] = (task, actor)
                done, _ = ray.wait(list(running), num_returns=1)
                for reference in done:
                    task, actor = running.pop(reference)
                    if actor is not None:
                        self._idle.append(actor)
                    yield task, _result(reference, task)
        finally:
            for reference, (_, actor) in running.items():
                if actor is None:
                    ray.cancel(reference, force=True)
                else:
                    ray.kill(actor)

    def _submit(self, task: Task, actor: Any) -> Any:
        if actor is not None:
            return actor.run.remote(task)
        # More than any node has would wait for ever; such a task gets a node to itself.
        memory = min(task.memory, self._largest)
        remote = _on_cpu.options(memory=memory) if memory else _on_cpu
        return remote.remote(task)

    def close(self) -> None:
        """Give the GPUs back."""
        for actor in self._idle:
            ray.kill(actor)


@ray.remote(num_cpus=1, max_retries=_RETRIES)
def _on_cpu(task: Task) -> Any:
    # The number of threads changes the order of sums, hence the last bits.
    torch.set_num_threads(1)
    return task.run("cpu")


# No CPU: the actor keeps what it has, and tasks that need one would wait for ever on a small node.
@ray.remote(num_cpus=0, num_gpus=1, max_restarts=_RETRIES, max_task_retries=_RETRIES)
class _GpuWorker:
    """Holds one GPU."""

    def run(self, task: Task) -> Any:
        if not torch.cuda.is_available():
            raise LipoError(
                f"torch sees no GPU on {socket.gethostname()}, which Ray counts as having one",
                "install a CUDA build of torch there, or use device=cpu",
            )
        return task.run("cuda")


def _result(reference: Any, task: Task) -> Any:
    try:
        return ray.get(reference)
    except RayTaskError as error:
        if isinstance(error.cause, LipoError):
            raise error.cause from None
        if isinstance(error.cause, OSError):
            raise LipoError(f"{task.key}: {error.cause}", "check files and disk; the same command continues") from error
        raise
    except (ActorDiedError, NodeDiedError, OutOfMemoryError, WorkerCrashedError) as error:
        raise LipoError(
            f"the worker process for {task.key} died {_RETRIES + 1} times ({type(error).__name__})",
            "lower 'workers', free memory, or use machines with more of it; the same command continues",
        ) from error


@contextlib.contextmanager
def joined(workers: int | None, address: str | None, device: str = "cpu") -> Iterator[RayPool]:
    """Yield a pool on the Ray that this process has joined already, else on the one at ``address``.

    Raises:
        LipoError: No cluster at ``address``, or Ray does not start.
    """
    with contextlib.ExitStack() as stack:
        if not ray.is_initialized():
            try:
                if address == "local":
                    stack.enter_context(local_ray(workers or os.cpu_count() or 1, _OBJECT_STORE))
                else:
                    stack.callback(ray.shutdown)
                    reach(address or "auto")
                    ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
            except Exception as error:  # Ray raises bare Exceptions too.
                place = "on this machine" if address == "local" else f"at {address}"
                raise LipoError(
                    f"Ray does not start {place}: {error}", "check 'address', or run 'lipo doctor'"
                ) from error
        pool = RayPool(workers, device)
        stack.callback(pool.close)
        yield pool
