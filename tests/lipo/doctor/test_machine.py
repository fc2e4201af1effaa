import shutil
from collections import namedtuple

import psutil

from lipo.doctor import machine

Usage = namedtuple("Usage", "total used free")


def test_memory_of_a_container_is_its_limit(tmp_path):
    total = psutil.virtual_memory().total
    assert machine.memory_limit(tmp_path) == total
    (tmp_path / "memory.max").write_text("max\n")
    assert machine.memory_limit(tmp_path) == total
    (tmp_path / "memory.max").write_text("123456\n")
    assert machine.memory_limit(tmp_path) == 123456
    (tmp_path / "memory.max").unlink()
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory" / "memory.limit_in_bytes").write_text("9223372036854771712\n")
    assert machine.memory_limit(tmp_path) == total


def test_memory():
    assert machine.memory(int(16e9), int(14e9)).level == "ok"
    busy = machine.memory(int(16e9), int(3e9))
    assert (busy.level, busy.what[:24]) == ("note", "3.0 of 16.0 GB of memory")
    small = machine.memory(int(8e9), int(7e9))
    assert (small.level, small.what) == ("fail", "8.0 GB of memory; training even the tiny model needs 12 GB")
    assert small.fix


def test_disk_and_shared_memory(tmp_path, monkeypatch):
    free = {str(tmp_path): 64e6}
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(1e12, 0, free.get(str(path), 1e11)))
    assert machine.shared_memory(tmp_path).what == (
        f"64 MB of shared memory free in {tmp_path}; Ray and verl want 512 MB"
    )
    assert machine.shared_memory(tmp_path).level == "note"
    assert "--shm-size" in machine.shared_memory(tmp_path).fix
    assert machine.shared_memory(tmp_path / "none").level == "fail"
    findings = list(machine.check_machine(tmp_path))
    assert [f.level for f in findings if str(tmp_path) in f.what] == ["fail"]
    free[str(tmp_path)] = 50e6
    assert machine.shared_memory(tmp_path).level == "fail"
    free[str(tmp_path)] = 5e9
    assert machine.shared_memory(tmp_path).level == "ok"
    assert any(
        f.what == f"5 GB free in {tmp_path} for results and checkpoints" for f in machine.check_machine(tmp_path)
    )


def test_every_failure_has_a_remedy(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(1, 1, 0))
    monkeypatch.setattr(machine, "memory_limit", lambda: 1)
    monkeypatch.setattr(machine.platform, "system", lambda: "Windows")
    findings = list(machine.check_machine(tmp_path))
    assert [f.level for f in findings] == ["fail"] * 5
    assert all(f.fix for f in findings)
