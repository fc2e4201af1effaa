"""Merges whose workers and drivers are killed at random points, and go on."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch

from lipo.common import sha256_file
from merge import MergeConfig, build_plan
from merge.tensor import merge_tensor
from merge.writer import create

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

ROOT = Path(__file__).parents[2]
STEPS, LAYERS = 800, 60
SCRIPT = """
import sys
from pathlib import Path
from merge import MergeConfig, run
folder, workers, steps, address = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] or None
experts = {name: folder / name for name in ("a", "b")}
config = {"base": folder / "base", "experts": experts, "out": folder / "out", "options": {"steps": steps}}
run(MergeConfig(**config, workers=workers, address=address))
"""


def _start(folder: Path, workers: int, address: str = "", steps: int = STEPS) -> subprocess.Popen[bytes]:
    # A process group of its own, as a shell gives each command: Ctrl-C reaches all of it.
    arguments = [sys.executable, "-c", SCRIPT, str(folder), str(workers), str(steps), address]
    return subprocess.Popen(arguments, cwd=ROOT, start_new_session=True, stderr=subprocess.PIPE)


def _records(folder: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in folder.glob(".out.*.merging/journal.jsonl"))


def _wait_for_records(folder: Path, count: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None, process.stderr and process.stderr.read().decode()
        if _records(folder) >= count:
            return
        time.sleep(0.01)
    raise AssertionError("the merge does not get on")


def _survivors(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Processes still alive a minute from now; a zombie that nobody reaps, as in some containers, is dead."""

    def alive(process: psutil.Process) -> bool:
        try:
            return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and any(map(alive, processes)):
        time.sleep(0.2)
    return [process for process in processes if alive(process)]


def _write(folder: Path, write_model, layers: int = LAYERS, width: int = 96) -> None:
    generator = torch.Generator().manual_seed(0)
    base = {f"layers.{i}.weight": torch.randn(width, width, generator=generator) for i in range(layers)}
    write_model(folder / "base", base, 2)
    for name in ("a", "b"):
        write_model(folder / name, {k: v + 1e-3 * torch.randn(v.shape, generator=generator) for k, v in base.items()})


def _reference(folder: Path) -> dict[str, str]:
    """Hashes of a merge that never stopped and never saw workers."""
    experts = {name: folder / name for name in ("a", "b")}
    config = MergeConfig(base=folder / "base", experts=experts, out=folder / "unused", options={"steps": STEPS})
    plan = build_plan(config)
    (folder / "reference").mkdir()
    for name, layout in plan.layouts.items():
        create(folder / "reference" / name, layout)
    for job in plan.jobs:
        merge_tensor(job, folder / "reference", list(plan.experts))
    return {name: sha256_file(folder / "reference" / name) for name in plan.layouts}


def test_ten_kills_at_random_points_give_the_same_bits(tmp_path: Path, write_model) -> None:
    """Four worker processes and a driver of a local Ray, then five drivers that work in threads."""
    _write(tmp_path, write_model)
    draw, kills = random.Random(0), 0
    driver = _start(tmp_path, workers=2, address="local")
    for _ in range(4):
        _wait_for_records(tmp_path, _records(tmp_path) + draw.randint(1, 3), driver)
        time.sleep(draw.uniform(0, 0.2))
        deadline = time.monotonic() + 60
        while not (workers := _workers(driver)):
            assert time.monotonic() < deadline, "no worker to kill"
        draw.choice(workers).kill()
        kills += 1
    _wait_for_records(tmp_path, _records(tmp_path) + 2, driver)
    # Ray's own agents take minutes to notice; what matters is that nothing writes any more.
    family = [p for p in psutil.Process(driver.pid).children(recursive=True) if "Agent" not in p.name()]
    for number in range(6):
        if number:
            driver = _start(tmp_path, workers=draw.choice((1, 2, 3)))
            _wait_for_records(tmp_path, _records(tmp_path) + draw.randint(1, 4), driver)
            time.sleep(draw.uniform(0, 0.2))
        driver.kill()
        driver.wait()
        kills += 1
        assert not (tmp_path / "out").exists()
        if not number:
            assert not _survivors(family)
    assert kills == 10

    last = _start(tmp_path, workers=2)
    assert last.wait(timeout=200) == 0, last.stderr and last.stderr.read().decode()
    expected = _reference(tmp_path)
    assert {name: sha256_file(tmp_path / "out" / name) for name in expected} == expected


def _workers(driver: subprocess.Popen[bytes]) -> list[psutil.Process]:
    found = []
    for process in psutil.Process(driver.pid).children(recursive=True):
        try:
            if "_on_cpu" in " ".join(process.cmdline()):
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found


@pytest.mark.parametrize("address", ["", "local"])
def test_ctrl_c_leaves_no_process_and_no_output(tmp_path: Path, write_model, address: str) -> None:
    _write(tmp_path, write_model, layers=12)
    process = _start(tmp_path, workers=2, address=address, steps=6000)
    _wait_for_records(tmp_path, 1, process)
    family = psutil.Process(process.pid).children(recursive=True)
    assert bool(family) == bool(address)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(timeout=60) != 0
    assert not _survivors(family)
    assert not (tmp_path / "out").exists()
    assert list(tmp_path.glob(".out.*.merging/journal.jsonl"))
