"""``lipo submit`` against a real head with its dashboard."""

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

LIPO = Path(sys.executable).parent / "lipo"


@pytest.fixture
def folder(models):
    work = models / "work"
    work.mkdir()
    (work / "merge.yaml").write_text(
        f"method: average\nbase: {models}/base\nexperts: {{math: {models}/math, ocr: {models}/ocr}}\nout: merged\n"
    )
    (work / "data").mkdir()
    (work / "data/private.parquet").write_text("stays here")
    return work


def test_a_merge_as_a_job(folder, head, submit, tmp_path):
    secrets = ["--secret", "PLANTED_TOKEN", "--secret", "WANDB_API_KEY"]
    root = tmp_path / "shared"
    arguments = ["merge.yaml", "seed=3", "--root", str(root), *secrets, "--env", "HARMLESS=1"]
    local = {"HF_TOKEN": "hf_plantedplantedplanted"}
    done = submit(folder, head, *arguments, **local)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "24 average tensors" in done.stdout, "the job's own output is shown"
    assert "ray job stop" in done.stdout and "resume: the same command again" in done.stdout
    assert "succeeded" in done.stdout
    manifest = json.loads((root / "merged/manifest.json").read_text())
    assert manifest["config"]["seed"] == 3
    assert not list(head["session"].rglob("private.parquet")), "data do not go along"

    # Resumed: everything is there already.
    stamp = (root / "merged/model.safetensors").stat().st_mtime_ns
    again = submit(folder, head, *arguments, **local)
    assert again.returncode == 0, again.stdout + again.stderr
    assert (root / "merged/model.safetensors").stat().st_mtime_ns == stamp

    # Planted secrets are in no file of Ray's, nor in what the dashboard tells, nor in the output.
    environment = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": head["token"]}
    listing = [LIPO.parent / "ray", "job", "list", "--address", head["address"]]
    told = subprocess.run(listing, env=environment, capture_output=True, text=True, check=True)
    shown = done.stdout + done.stderr + again.stdout + told.stdout + told.stderr
    assert "merge.yaml" in shown
    files = [p for place in (head["session"], root) for p in place.rglob("*") if p.is_file()]
    assert len(files) > 10
    for secret in ("tok-5ae1b0c3d2", "hf_plantedplantedplanted", "wb-9f8e7d6c5b4a", "0123456789abcdef" * 2):
        assert secret not in shown
        found = [str(p) for p in files if secret.encode() in _content(p)]
        assert found == []


def _content(path):
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_a_job_that_fails_says_why(folder, head, submit, tmp_path):
    (folder / "merge.yaml").write_text("method: average\nbase: nowhere\nexperts: {a: nowhere}\nout: merged\n")
    done = submit(folder, head, "merge.yaml", "--root", str(tmp_path / "shared"))
    assert done.returncode == 1
    assert "nowhere" in done.stdout and "failed" in done.stdout
    done = submit(folder, head, "merge.yaml", "--root", str(tmp_path / "shared"), "--secret", "NOT_THERE")
    assert done.returncode == 1
    assert "NOT_THERE: is not set on the cluster" in done.stdout


def test_the_head_listens_on_loopback_only(head):
    family = [psutil.Process(head["process"].pid), *psutil.Process(head["process"].pid).children(recursive=True)]
    listening = set()
    for process in family:
        for connection in process.net_connections("inet"):
            if connection.status == psutil.CONN_LISTEN:
                assert connection.laddr.ip in ("127.0.0.1", "::1", "::ffff:127.0.0.1"), process.cmdline()[:3]
                listening.add(connection.laddr.port)
    assert set(head["ports"]) <= listening


def test_another_token_is_refused_in_two_lines(folder, head, submit, tmp_path):
    (tmp_path / "other").write_text("f" * 64)
    done = submit(folder, head | {"token": str(tmp_path / "other")}, "merge.yaml", "--root", str(tmp_path))
    assert done.returncode == 2
    assert "asks for a token" in done.stderr and "Traceback" not in done.stderr


def test_no_cluster_is_two_lines(folder, submit):
    done = submit(folder, {"address": "http://127.0.0.1:9"}, "merge.yaml", "--root", "/shared")
    assert done.returncode == 2
    assert "no Ray dashboard at http://127.0.0.1:9" in done.stderr and "Traceback" not in done.stderr
