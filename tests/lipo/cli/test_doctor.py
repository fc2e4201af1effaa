import subprocess
import sys

import pytest
from typer.testing import CliRunner

from lipo.cli._app import app
from lipo.doctor import Finding, examine, software


def command(monkeypatch, *findings):
    monkeypatch.setattr("lipo.doctor.examine", lambda recipe, find_model: iter(findings))
    return CliRunner().invoke(app, ["doctor"])


def test_status_0_where_training_would_start(monkeypatch):
    result = command(monkeypatch, Finding("ok", "good"), Finding("note", "[odd] thing", "look [at] it"))
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "   ok  good",
        " note  [odd] thing",
        "       fix: look [at] it",
        "",
        "Training would start on this machine.",
    ]


def test_status_1_and_a_remedy_where_it_would_not(monkeypatch):
    result = command(monkeypatch, Finding("fail", "bad", "mend it"), Finding("ok", "good"))
    assert result.exit_code == 1
    assert result.stdout.splitlines()[:2] == [" fail  bad", "       fix: mend it"]
    assert result.stdout.splitlines()[-1] == "Training would not start: 1 check failed."


def test_nothing_slow_is_tried_without_the_packages(monkeypatch, tmp_path):
    monkeypatch.setattr(software, "installed", lambda name: None if name == "verl" else "0")
    monkeypatch.setattr("lipo.doctor.checks.check_ray", lambda *_: pytest.fail("Ray was started"))
    findings = list(examine(tmp_path / "recipe.yaml"))
    assert any(finding.what == "verl is not installed" for finding in findings)
    assert findings[-1].level == "fail"
    assert "were not tried" in findings[-1].what


def test_a_broken_recipe_is_a_finding(monkeypatch, tmp_path):
    (tmp_path / "broken.yaml").write_text("defaults: [no_such_file, _self_]\n")
    monkeypatch.setattr("lipo.doctor.checks.check_ray", lambda *_: pytest.fail("Ray was started"))
    findings = list(examine(tmp_path / "broken.yaml"))
    assert findings[-1].level == "fail"
    assert findings[-1].what.startswith(f"cannot compose {tmp_path / 'broken.yaml'}")


@pytest.mark.slow
def test_this_machine_can_train():
    done = subprocess.run(
        [sys.executable, "-c", "from lipo.cli import main; main()", "doctor"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "'lipo' is lipo.verl_plugin" in done.stdout
    assert "vLLM starts" in done.stdout
    assert " fail " not in done.stdout
