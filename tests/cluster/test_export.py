"""A training whose expert goes to a real S3-compatible server: it appears there whole, or is recognisably not."""

import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from omegaconf import OmegaConf

from lipo.common import LipoError
from lipo.common._remote import Remote
from lipo.common.storage import MARKER, Destination, stage

ROOT = Path(__file__).parents[2]
BASE = ROOT / "recipes/tiny/base"
STEPS = 2


class Finished:
    """A run whose last step is saved, as verl leaves it: what is left to do is the export."""

    def __init__(self, command, folder):
        self.folder, self.run = folder, folder / "run"
        weights = f"global_step_{STEPS}" + ("/actor/huggingface" if command == "train" else "/huggingface")
        shutil.copytree(BASE, self.run / weights)
        (self.run / "latest_checkpointed_iteration.txt").write_text(str(STEPS))
        rows = {"data_source": ["x"], "prompt": ["p"], "reward_model": ["r"], "messages": ["m"]}
        pd.DataFrame({key: value * 32 for key, value in rows.items()}).to_parquet(folder / "data.parquet")
        recipe, model, data = {
            "train": ("math", "actor_rollout_ref.model.path", ("train_files", "val_files")),
            "sft": ("video_sft", "model.path", ("train_files",)),
        }[command]
        self.words = [command, f"recipes/tiny/{recipe}.yaml", f"{model}={BASE}"]
        self.words += [f"data.{key}={folder}/data.parquet" for key in data]
        self.words += [f"trainer.default_local_dir={self.run}", f"trainer.total_training_steps={STEPS}"]
        trainer = importlib.import_module({"train": "lipo.training", "sft": "lipo.sft"}[command])
        config = trainer.compose(ROOT / self.words[1], self.words[2:])
        if command == "sft":
            # verl is given one to spare.
            config.trainer.total_epochs += 1
        OmegaConf.save(config, self.run / "config.yaml")

    def lipo(self, *words, program=("-m", "lipo.cli")):
        command = [sys.executable, *program, *self.words, *words]
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=300)


@pytest.fixture(params=["train", "sft"])
def finished(request, tmp_path):
    return Finished(request.param, tmp_path)


def content(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_killed_while_sending_it_looks_unfinished_and_the_same_command_finishes_it(
    finished, bucket, killed_while_sending
):
    folder, url = bucket
    export = f"lipo.export={url}/expert"
    rehearsed = finished.lipo(export, "--dry-run")
    assert rehearsed.returncode == 0 and f"export: {url}/expert" in rehearsed.stdout, rehearsed.stderr
    assert not folder.exists() and not (finished.run / "export").exists()

    killed = finished.lipo(export, program=("-c", killed_while_sending))
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    there = {p.name for p in (folder / "expert").iterdir()}
    assert "model.safetensors" in there and "config.json" not in there
    with pytest.raises(LipoError, match="is not whole"):
        stage(f"{url}/expert")

    sent = (folder / "expert/model.safetensors").stat().st_mtime_ns
    done = finished.lipo(export)
    assert done.returncode == 0 and f"{url}/expert is whole" in done.stdout, done.stderr
    assert (folder / "expert/model.safetensors").stat().st_mtime_ns == sent, "not sent again"
    local = stage(f"{url}/expert")
    assert content(local) == content(finished.run / "export")
    assert (local / "training_config.yaml").read_text() == (finished.run / "config.yaml").read_text()
    assert (local / "model.safetensors").read_bytes() == (BASE / "model.safetensors").read_bytes()

    before = {p: p.stat().st_mtime_ns for p in (folder / "expert").iterdir()}
    assert finished.lipo(export).returncode == 0
    assert before == {p: p.stat().st_mtime_ns for p in (folder / "expert").iterdir()}
    secret = os.environ["AWS_SECRET_ACCESS_KEY"]
    written = b"".join([*content(folder).values(), *content(finished.run).values()])
    assert secret.encode() not in written and secret not in done.stdout + done.stderr


def test_a_place_that_cannot_be_is_refused_before_the_training(tmp_path, bucket):
    _, url = bucket
    run = Finished("train", tmp_path)
    with Remote(f"{url}/taken").writing("x") as stream:
        stream.write(b"x")
    # Nothing is saved yet: verl would be started.
    (run.run / "latest_checkpointed_iteration.txt").write_text("0")
    for place, message in (
        (f"{url}/taken", "is not empty"),
        ("s3://nobucket/expert", "cannot write s3://nobucket/expert"),
        ("gs://bucket/expert", "pip install gcsfs"),
    ):
        done = run.lipo(f"lipo.export={place}")
        assert done.returncode == 2 and message in done.stderr, done.stderr
    assert not (run.run / "log.txt").exists() and not (run.run / "export").exists()


def test_another_machine_that_sees_the_run_continues_and_one_that_does_not_is_refused(tmp_path, bucket):
    folder, url = bucket
    first = Destination(f"{url}/expert", tmp_path / "run/export")
    first.claim()
    assert json.loads((folder / "expert" / MARKER).read_text())["whole"] is False
    Destination(f"{url}/expert", tmp_path / "run/export").claim()
    with pytest.raises(LipoError, match="is being sent from elsewhere"):
        Destination(f"{url}/expert", tmp_path / "other/export").claim()
