"""Worker processes of a local Ray."""

import os
import socket
import sys
import time
from pathlib import Path

import psutil
import pytest
import ray
from ray import cloudpickle

from lipo.common import LipoError
from merge._ray import RayPool
from merge.executor import Task, connect

# Workers cannot import a test module by its name.
cloudpickle.register_pickle_by_value(sys.modules[__name__])


def _work(folder: Path, name: str, seconds: float) -> str:
    started = time.time()
    time.sleep(seconds)
    (folder / name).write_text(f"{started} {time.time()}")
    return name


def _die() -> None:
    os.kill(os.getpid(), 9)


def _fail() -> None:
    raise LipoError("the shelf is empty", "fill it")


def _task(function, *arguments, flops: float = 1.0, memory: int = 0) -> Task:
    return Task(" ".join(map(str, arguments)) or function.__name__, function, arguments, flops, memory)


@pytest.mark.slow
def test_local_ray(tmp_path: Path) -> None:
    with connect(workers=2, address="local") as pool:
        assert ray.is_initialized() and pool.workers == 2
        _listens_on_loopback_only()
        with connect(workers=1, address=None) as inner:
            assert inner.workers == 1
        assert ray.is_initialized(), "the inner one joined a Ray that is not its own to end"

        tasks = [_task(_work, tmp_path, str(i), 0.3, flops=i) for i in range(5)]
        results = [result for _, result in pool.run(tasks)]
        assert sorted(results) == ["0", "1", "2", "3", "4"]
        times = [tuple(map(float, (tmp_path / str(i)).read_text().split())) for i in range(5)]
        assert max(sum(a < t < b for a, b in times) for t, _ in times) < 2, "never more than two at a time"
        assert min(times[3][0], times[4][0]) == min(t for t, _ in times), "the dearest first"

        # More memory than the machine has still runs, alone.
        assert [r for _, r in pool.run([_task(_work, tmp_path, "big", 0.0, memory=10**15)])] == ["big"]
        with pytest.raises(LipoError, match="the shelf is empty; fill it"):
            list(pool.run([_task(_fail)]))
        with pytest.raises(LipoError, match="the worker process for _die died 4 times"):
            list(RayPool(1).run([_task(_die)]))
    assert not ray.is_initialized()


def _listens_on_loopback_only() -> None:
    family = [psutil.Process(), *psutil.Process().children(recursive=True)]
    family = [p for p in family if p.pid == os.getpid() or "ray" in " ".join(p.cmdline()).lower()]
    for process in family:
        for connection in process.net_connections("inet"):
            if connection.status == psutil.CONN_LISTEN:
                assert connection.laddr.ip in ("127.0.0.1", "::1", "::ffff:127.0.0.1"), (
                    process.cmdline()[:2],
                    connection.laddr,
                )


def test_no_cluster_at_the_address() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    started = time.monotonic()
    with pytest.raises(LipoError, match=f"Ray does not start at 127.0.0.1:{port}"), connect(None, f"127.0.0.1:{port}"):
        pass
    assert not ray.is_initialized() and time.monotonic() - started < 10
