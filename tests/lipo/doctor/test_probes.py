import tempfile
from pathlib import Path

import psutil
import pytest

from lipo.doctor import probes

CPU = {"VERL_PLATFORM": "cpu", "VLLM_CPU_KVCACHE_SPACE": "1", "TORCHDYNAMO_DISABLE": "1"}


@pytest.fixture(autouse=True)
def short_temporary_names(monkeypatch):
    # Ray's socket names are long, and pytest's own temporary folders too.
    with tempfile.TemporaryDirectory(prefix="lipo", ignore_cleanup_errors=True) as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        yield


@pytest.mark.slow
def test_the_estimator_is_registered_inside_a_ray_actor():
    finding = probes.check_ray(CPU)
    assert finding.level == "ok", finding
    assert "'lipo' is lipo.verl_plugin" in finding.what
    assert list(Path(tempfile.gettempdir()).glob("lipo-doctor*")) == []


@pytest.mark.slow
def test_a_disabled_plugin_is_noticed():
    finding = probes.check_ray(CPU | {"VERL_USE_EXTERNAL_PLUGINS": "none"})
    assert finding.level == "fail"
    assert "not in verl's registry" in finding.what
    assert finding.fix == "VERL_USE_EXTERNAL_PLUGINS is 'none': unset it"


@pytest.mark.slow
def test_vllm_generates_a_token_with_a_random_model():
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    finding = probes.check_vllm(CPU, "float32", None)
    assert finding.level == "ok", finding
    assert {child.pid for child in psutil.Process().children(recursive=True)} <= before


@pytest.mark.slow
def test_a_broken_model_is_one_sentence(tmp_path):
    finding = probes.check_vllm(CPU, "float32", tmp_path / "none")
    assert finding.level == "fail"
    assert finding.what.startswith("vLLM does not start: ")
    assert "\n" not in finding.what
    log = Path(finding.fix.split()[1].rstrip(";"))
    assert log.stat().st_size > 0


def test_a_hanging_probe_ends_with_its_processes():
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    finding = probes.check_ray(CPU, seconds=0.2)
    assert finding.what == "no Ray actor with verl: no answer within 0 s"
    assert {child.pid for child in psutil.Process().children(recursive=True)} <= before


def test_a_crash_names_the_signal(monkeypatch):
    monkeypatch.setattr(probes, "_CHILD", ["-c", "import os, signal; os.kill(os.getpid(), signal.SIGILL)"])
    assert probes.check_vllm(CPU, "bfloat16", None).what == "vLLM does not start: its process was killed by SIGILL"
    monkeypatch.setattr(probes, "_CHILD", ["-c", "raise SystemExit(3)"])
    assert probes.check_vllm(CPU, "float32", None).what == "vLLM does not start: its process ended with status 3"
