"""Runs tasks on Ray: a local one that ends with the merge, or a cluster."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import psutil
import ray
import torch
from ray.exceptions import OutOfMemoryError, RayTaskError, WorkerCrashedError

from lipo.common import LipoError
from lipo.common.local_ray import on_loopback

# A task that took its worker down three times will do so again.
_RETRIES = 3
_STARTS = 3
# Tasks exchange paths and small records, never tensors.
_OBJECT_STORE = 100 * 2**20


@dataclass(frozen=True)
class Task:
    """One unit of work; must give the same result when run twice.

    Attributes:
        key: Unique name.
        function: A module-level function.
        arguments: Small and picklable.
        flops: Relative cost; the dearest tasks start first.
        memory: Bytes at the peak; Ray starts no more tasks on a node than fit.
    """

    key: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    flops: float
    memory: int


class Pool:
    """A connection to Ray with a bound on the tasks in flight."""

    def __init__(self, workers: int) -> None:
        """Use at most ``workers`` tasks at a time."""
        self.workers = workers
        nodes = [node["Resources"].get("memory", 0) for node in ray.nodes() if node["Alive"]]
        self._largest = max(nodes, default=0)

    def run(self, tasks: Sequence[Task]) -> Iterator[tuple[Task, Any]]:
        """Run tasks, dearest first, and yield each with its result as it ends.

        Raises:
            LipoError: From a task, or because its worker died again and again.
        """
        waiting = sorted(tasks, key=lambda task: (task.flops, task.key))
        running: dict[Any, Task] = {}
        try:
            while waiting or running:
                while waiting and len(running) < self.workers:
                    task = waiting.pop()
                    running[self._submit(task)] = task
                done, _ = ray.wait(list(running), num_returns=1)
                for reference in done:
                    task = running.pop(reference)
                    yield task, _result(reference, task)
        finally:
            for reference in running:
                ray.cancel(reference, force=True)

    def _submit(self, task: Task) -> Any:
        # More than any node has would wait for ever; such a task gets a node to itself.
        memory = min(task.memory, self._largest)
        remote = _remote_call.options(memory=memory) if memory else _remote_call
        return remote.remote(task.function, task.arguments)


@ray.remote(num_cpus=1, max_retries=_RETRIES)
def _remote_call(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    # The number of threads changes the order of sums, hence the last bits.
    torch.set_num_threads(1)
    return function(*arguments)


def _result(reference: Any, task: Task) -> Any:
    try:
        return ray.get(reference)
    except RayTaskError as error:
        if isinstance(error.cause, LipoError):
            raise error.cause from None
        if isinstance(error.cause, OSError):
            raise LipoError(f"{task.key}: {error.cause}", "check files and disk; the same command continues") from error
        raise
    except (WorkerCrashedError, OutOfMemoryError) as error:
        raise LipoError(
            f"the worker process for {task.key} died {_RETRIES + 1} times ({type(error).__name__})",
            "lower 'workers', free memory, or use machines with more of it; the same command continues",
        ) from error


@contextlib.contextmanager
def connect(workers: int | None, address: str | None) -> Iterator[Pool]:
    """Join the Ray that is already running in this process, else ``address``, else start a local one.

    Args:
        workers: Tasks at a time; by default one per core.
        address: Address of a cluster, e.g. ``auto``.

    Yields:
        The pool. A Ray that was started or joined here is left again at the end, also after an error or Ctrl-C.

    Raises:
        LipoError: No cluster at ``address``, or Ray does not start.
    """
    if ray.is_initialized():
        yield Pool(workers or int(ray.cluster_resources().get("CPU", 1)))
        return
    try:
        if address is not None:
            _reach(address)
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        else:
            _start_local(workers or os.cpu_count() or 1)
    except Exception as error:  # Ray raises bare Exceptions too.
        place = f"at {address}" if address else "on this machine"
        raise LipoError(f"Ray does not start {place}: {error}", "check 'address', or run 'lipo doctor'") from error
    try:
        yield Pool(workers or int(ray.cluster_resources().get("CPU", 1)))
    finally:
        ray.shutdown()


def _reach(address: str) -> None:
    """Fail at once where nobody listens: Ray itself would try for many minutes."""
    host, _, port = address.rpartition(":")
    if host and "/" not in host and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()


def _start_local(cpus: int) -> None:
    """Start a Ray for this process alone; try again where its processes needed more than Ray's 30 s to come up."""
    ours = set(psutil.Process().children(recursive=True))
    for attempt in range(_STARTS):
        try:
            # "local": a RAY_ADDRESS in the environment must not lend this merge to somebody's cluster.
            with on_loopback():
                ray.init(
                    address="local",
                    num_cpus=cpus,
                    include_dashboard=False,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                    object_store_memory=_OBJECT_STORE,
                    _node_ip_address="127.0.0.1",
                )
            return
        except Exception:
            ray.shutdown()
            # Ray forgets the processes of a start that failed.
            for child in set(psutil.Process().children(recursive=True)) - ours:
                with contextlib.suppress(psutil.NoSuchProcess):
                    child.kill()
            if attempt + 1 == _STARTS:
                raise
