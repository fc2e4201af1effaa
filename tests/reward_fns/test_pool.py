import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from reward_fns import _pool
from reward_fns._pool import SymbolicPool
from reward_fns._verdict import Status

ENDLESS = "\\sum_{k=1}^{100000000}\\sin(k)"
REPOSITORY = Path(_pool.__file__).parents[1]


@pytest.fixture(scope="module")
def pool():
    pool = SymbolicPool(workers=2, memory_mb=1024)
    yield pool
    pool.stop()


def family(pool):
    """The supervisor and its workers."""
    supervisor = psutil.Process(pool._supervised.process.pid)
    return [supervisor, *supervisor.children(recursive=True)]


def wait_gone(processes, seconds=10.0):
    _, alive = psutil.wait_procs(processes, timeout=seconds)
    return not alive


def test_decides(pool):
    assert pool.compare("\\sum_{k=1}^{3} k", "6", 5.0) is Status.EQUAL
    assert pool.compare("\\int_{0}^{1} x dx", "\\frac{1}{2}", 5.0) is Status.EQUAL
    assert pool.compare("\\sum_{k=1}^{3} k", "7", 5.0) is Status.DIFFERENT
    assert pool.compare("\\frac{", "7", 5.0) is Status.UNPARSED


def test_endless_comparison_is_stopped_and_delays_nobody(pool):
    pool.compare("x", "1", 5.0)
    statuses = {}

    def ask(name, gold, answer, seconds):
        statuses[name] = pool.compare(gold, answer, seconds)

    hostile = threading.Thread(target=ask, args=("hostile", "0", ENDLESS, 3.0))
    hostile.start()
    time.sleep(0.2)
    for i in range(5):
        ask(i, "\\sum_{k=1}^{3} k", "6", 5.0)
    # The other worker answers while the first one is still busy.
    assert hostile.is_alive()
    hostile.join(60)
    assert statuses.pop("hostile") is Status.TIMEOUT
    assert set(statuses.values()) == {Status.EQUAL}


def test_a_killed_worker_is_replaced(pool):
    pool.compare("x", "1", 5.0)
    for worker in family(pool)[1:]:
        worker.kill()
    time.sleep(0.3)
    assert pool.compare("\\sum_{k=1}^{3} k", "6", 5.0) is Status.EQUAL


def test_a_killed_supervisor_is_replaced(pool):
    pool.compare("x", "1", 5.0)
    old = family(pool)
    old[0].kill()
    assert wait_gone(old)
    assert pool.compare("\\sum_{k=1}^{3} k", "6", 5.0) is Status.EQUAL


def test_memory_is_limited():
    pool = SymbolicPool(workers=1, memory_mb=256)
    try:
        status = pool.compare("x", "(a+b+c+d+f+g)^{400}-(a+b)^{400}+\\prod_{k=1}^{4000} k^{k}", 20.0)
        assert status in (Status.TIMEOUT, Status.DIFFERENT, Status.UNPARSED)
        assert pool.compare("\\sum_{k=1}^{3} k", "6", 5.0) is Status.EQUAL
    finally:
        pool.stop()


def test_many_threads_share_it(pool):
    results = [None] * 24

    def ask(i):
        results[i] = pool.compare(f"\\sum_{{k=1}}^{{{i + 1}}} k", str((i + 1) * (i + 2) // 2), 10.0)

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(len(results))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert results == [Status.EQUAL] * len(results)


def test_nothing_is_left_after_stop():
    pool = SymbolicPool(workers=2, memory_mb=1024)
    pool.compare("x", "1", 5.0)
    processes = family(pool)
    pool.stop()
    assert wait_gone(processes)
    assert pool.compare("\\sum_{k=1}^{3} k", "6", 5.0) is Status.EQUAL
    pool.stop()


def _ask_in_child(pool, connection):
    status = pool.compare("\\sum_{k=1}^{3} k", "6", 5.0)
    connection.send((str(status), pool._supervised.process.pid))
    pool.stop()


@pytest.mark.slow
def test_a_forked_child_has_processes_of_its_own(pool):
    _pool._pools[(2, 1024)] = pool
    try:
        pool.compare("x", "1", 5.0)
        context = multiprocessing.get_context("fork")
        here, there = context.Pipe()
        child = context.Process(target=_ask_in_child, args=(pool, there))
        child.start()
        assert here.poll(60)
        status, pid = here.recv()
        child.join(30)
        assert status == "equal" and pid != pool._supervised.process.pid
        assert child.exitcode == 0
        assert pool.compare("\\sum_{k=1}^{3} k", "6", 5.0) is Status.EQUAL
    finally:
        _pool._pools.clear()


_PARENT = """
import sys, threading, time
from reward_fns._pool import SymbolicPool
pool = SymbolicPool(2, 1024)
pool.compare("x", "1", 5.0)
threading.Thread(target=pool.compare, args=("0", {endless!r}, 50.0), daemon=True).start()
time.sleep(0.5)
print(pool._supervised.process.pid, flush=True)
{then}
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, None])
def test_no_process_outlives_its_parent(how):
    then = "time.sleep(60)" if how else ""
    parent = subprocess.Popen(
        [sys.executable, "-c", _PARENT.format(endless=ENDLESS, then=then)],
        stdout=subprocess.PIPE,
        cwd=REPOSITORY,
        text=True,
    )
    supervisor = psutil.Process(int(parent.stdout.readline()))
    processes = [supervisor, *supervisor.children(recursive=True)]
    assert len(processes) > 1
    if how:
        parent.send_signal(how)
    parent.wait(30)
    assert wait_gone(processes)


@pytest.mark.slow
def test_no_process_outlives_a_killed_parent_whose_pipe_a_child_holds():
    then = "import os\nif os.fork() == 0:\n    time.sleep(20)\nelse:\n    time.sleep(60)"
    parent = subprocess.Popen(
        [sys.executable, "-c", _PARENT.format(endless=ENDLESS, then=then)],
        stdout=subprocess.PIPE,
        cwd=REPOSITORY,
        text=True,
    )
    supervisor = psutil.Process(int(parent.stdout.readline()))
    processes = [supervisor, *supervisor.children(recursive=True)]
    time.sleep(0.5)
    others = [p for p in psutil.Process(parent.pid).children() if p.pid != supervisor.pid]
    parent.kill()
    parent.wait(30)
    assert wait_gone(processes)
    for other in others:
        other.kill()


def test_workers_write_no_files(tmp_path):
    code = (
        "import os, sys\n"
        "from reward_fns._supervisor import _deny_side_effects\n"
        "sys.addaudithook(_deny_side_effects)\n"
        "for act in (lambda: open('hacked', 'w'), lambda: os.system('touch hacked'), lambda: os.mkdir('hacked'),\n"
        "            lambda: os.fork(), lambda: __import__('socket').socket()):\n"
        "    try:\n"
        "        act()\n"
        "    except PermissionError:\n"
        "        continue\n"
        "    os._exit(3)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=False)
    assert done.returncode == 0
    assert list(tmp_path.iterdir()) == []


_UNDER_XDIST = """
import os
import pytest
from reward_fns import math
from reward_fns._pool import symbolic_pool

@pytest.mark.parametrize("i", range(6))
def test_it(i, tmp_path_factory):
    assert math.check(f"\\\\sum_{{k=1}}^{{n}} k+{i}", f"\\\\frac{{n(n+1)}}{{2}}+{i}").correct
    supervisor = symbolic_pool(2, 1024)._supervised.process.pid
    with open(os.environ["PIDS"], "a") as file:
        file.write(f"{os.environ['PYTEST_XDIST_WORKER']} {supervisor}\\n")
"""


@pytest.mark.slow
def test_each_xdist_worker_has_processes_of_its_own_and_leaves_none(tmp_path):
    (tmp_path / "test_inner.py").write_text(_UNDER_XDIST)
    pids = tmp_path / "pids"
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "PIDS": str(pids)}
    # Without the outer run's settings; one test a time to whichever worker is free.
    for name in ("PYTEST_ADDOPTS", "PYTEST_XDIST_WORKER", "PYTEST_CURRENT_TEST"):
        environment.pop(name, None)
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider", "test_inner.py"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    seen = dict(line.split() for line in pids.read_text().splitlines())
    assert len(seen) == 2 and len(set(seen.values())) == 2
    deadline = time.monotonic() + 10
    while any(psutil.pid_exists(int(pid)) for pid in seen.values()) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(psutil.pid_exists(int(pid)) for pid in seen.values())
