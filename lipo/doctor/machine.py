"""Checks of the machine: operating system, memory, disk, shared memory."""

from __future__ import annotations

import platform
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil

from lipo.doctor.finding import Finding

MEMORY = 12e9
MEMORY_FREE = 9e9
DISK = 2e9
TEMPORARY = 1e9
SHARED = 512e6
SHARED_LEAST = 60e6

_CGROUPS = Path("/sys/fs/cgroup")


def check_machine(directory: Path) -> Iterator[Finding]:
    """Check everything that needs no software but Python.

    Args:
        directory: Where runs would be written.

    Yields:
        One finding per check.
    """
    yield _system()
    yield memory(memory_limit(), psutil.virtual_memory().available)
    yield _disk(directory, DISK, "results and checkpoints")
    yield _disk(Path(tempfile.gettempdir()), TEMPORARY, "Ray's session files")
    yield shared_memory(Path("/dev/shm"))  # noqa: S108 (its size is looked at, nothing is written)


def _system() -> Finding:
    name, machine = platform.system(), platform.machine()
    if name != "Linux":
        return Finding("fail", f"{name} on {machine}: verl and vLLM run on Linux", "use Linux, a container or WSL 2")
    return Finding("ok", f"{name} on {machine}, {len(psutil.Process().cpu_affinity() or [])} cores")


def memory_limit(cgroups: Path = _CGROUPS) -> int:
    """Bytes this process may use: the machine's memory, or the container's share of it.

    Args:
        cgroups: Where the kernel shows control groups, version 2 or 1.
    """
    limits = [psutil.virtual_memory().total]
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            limits.append(int((cgroups / name).read_text("ascii")))
        except (OSError, ValueError):
            # No such file outside containers; "max" where there is no limit.
            continue
    return min(limits)


def memory(total: int, available: int) -> Finding:
    """Judge the memory.

    Args:
        total: Bytes this process may use.
        available: Bytes nobody uses now.
    """
    if total < MEMORY:
        return Finding(
            "fail",
            f"{total / 1e9:.1f} GB of memory; training even the tiny model needs {MEMORY / 1e9:.0f} GB",
            "use a larger machine, or give the container or virtual machine more",
        )
    if available < MEMORY_FREE:
        return Finding(
            "note",
            f"{available / 1e9:.1f} of {total / 1e9:.1f} GB of memory are free; training needs up to 9 GB",
            "stop other programs first, or the kernel may kill a worker",
        )
    return Finding("ok", f"{total / 1e9:.1f} GB of memory, {available / 1e9:.1f} GB free")


def _disk(directory: Path, needed: float, purpose: str) -> Finding:
    free = shutil.disk_usage(directory).free
    if free < needed:
        return Finding(
            "fail",
            f"{free / 1e9:.1f} GB free in {directory}; {purpose} need {needed / 1e9:.0f} GB",
            "free some space" if purpose.startswith("results") else "free some space, or set TMPDIR to another disk",
        )
    return Finding("ok", f"{free / 1e9:.0f} GB free in {directory} for {purpose}")


def shared_memory(directory: Path) -> Finding:
    """Judge the shared memory, through which Ray passes objects and verl passes weights to vLLM."""
    if not directory.is_dir():
        return Finding("fail", f"no {directory}", "mount a tmpfs there")
    free = shutil.disk_usage(directory).free
    if free < SHARED:
        # The tiny recipe uses some 10 MB; a real model's weights pass in pieces of hundreds.
        return Finding(
            "fail" if free < SHARED_LEAST else "note",
            f"{free / 1e6:.0f} MB of shared memory free in {directory}; Ray and verl want {SHARED / 1e6:.0f} MB",
            "start the container with --shm-size=4g, or clear the directory",
        )
    return Finding("ok", f"{free / 1e9:.1f} GB of shared memory")
