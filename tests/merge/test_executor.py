"""Threads of this process, which merge where no Ray is asked for."""

import threading
import time
from collections import Counter
from pathlib import Path

import pytest
import torch

from lipo.common import LipoError
from merge._threads import ThreadPool
from merge.executor import Task, connect, dearest_last


def _task(function, *arguments, flops: float = 1.0, memory: int = 0, on_device: bool = False) -> Task:
    return Task(f"{function.__name__} {arguments}", function, arguments, flops, memory, on_device)


class _Gauge:
    """Counts who is inside."""

    def __init__(self) -> None:
        self.inside, self.most, self.order, self.lock = 0, 0, [], threading.Lock()

    def visit(self, name: int, seconds: float = 0.02) -> int:
        with self.lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
            self.order.append(name)
        time.sleep(seconds)
        with self.lock:
            self.inside -= 1
        return name


def test_every_task_once_dearest_first_and_never_too_many() -> None:
    gauge = _Gauge()
    with connect(workers=2, address=None) as pool:
        results = list(pool.run([_task(gauge.visit, i, flops=i) for i in range(8)]))
    assert Counter(result for _, result in results) == Counter(range(8))
    assert gauge.most == 2 and set(gauge.order[:2]) == {6, 7}


def test_memory_bounds_what_runs_together(monkeypatch: pytest.MonkeyPatch) -> None:
    import psutil

    class Available:
        available = 100

    monkeypatch.setattr(psutil, "virtual_memory", lambda: Available)
    gauge = _Gauge()
    tasks = [_task(gauge.visit, i, memory=60) for i in range(4)] + [_task(gauge.visit, 9, memory=10**9)]
    assert len(list(ThreadPool(3).run(tasks))) == 5
    assert gauge.most == 1


def test_one_thread_per_operation_in_workers_only() -> None:
    before = torch.get_num_threads()
    ((_, inside),) = ThreadPool(1).run([_task(torch.get_num_threads)])
    assert inside == 1 and torch.get_num_threads() == before


def test_the_device_is_handed_on() -> None:
    ((_, device),) = ThreadPool(1, "cpu").run([_task(str, on_device=True)])
    assert device == "cpu"


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_no_gpu_is_a_message() -> None:
    with pytest.raises(LipoError, match="torch sees no GPU here"), connect(None, None, "cuda"):
        pass


def _fail() -> None:
    raise LipoError("the shelf is empty", "fill it")


def _missing() -> None:
    Path("/nowhere/at/all").read_bytes()


@pytest.mark.parametrize(("function", "message"), [(_fail, "the shelf is empty; fill it"), (_missing, "No such file")])
def test_errors_of_tasks(function, message: str) -> None:
    with pytest.raises(LipoError, match=message):
        list(ThreadPool(2).run([_task(function)]))


def test_whoever_stops_waiting_stops_the_work() -> None:
    steps = []

    def long() -> None:
        for step in range(10_000):
            steps.append(step)
            time.sleep(0.01)

    started = time.monotonic()
    run = ThreadPool(2).run([_task(long, flops=1), _task(int, flops=2)])
    next(run)
    run.close()
    assert time.monotonic() - started < 10 and len(steps) < 1000
    assert threading.active_count() < 10


def test_order_of_equals_does_not_depend_on_chance() -> None:
    tasks = [Task(key, int, (), flops, 0) for key, flops in (("b", 1.0), ("a", 1.0), ("c", 2.0))]
    assert [task.key for task in dearest_last(tasks)] == ["a", "b", "c"]
