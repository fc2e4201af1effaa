"""What a user's mistake looks like on the command line: one message, status 2, no traceback, nothing written."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

LIPO = Path(sys.executable).parent / "lipo"


def run(directory, *arguments):
    before = sorted(directory.rglob("*"))
    result = subprocess.run([LIPO, *arguments], cwd=directory, capture_output=True, text=True, timeout=300)
    written = [p for p in sorted(directory.rglob("*")) if p not in before]
    return result.returncode, result.stdout + result.stderr, written


@pytest.fixture
def directory(tmp_path):
    data = tmp_path / "runs/demo/data"
    data.mkdir(parents=True)
    frame = pd.DataFrame({"data_source": ["x"], "prompt": ["p"], "reward_model": ["r"]})
    for split in ("train", "validation"):
        frame.to_parquet(data / f"math_{split}.parquet")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["actor_rollout_ref.model.path=./nowhere"], "no model at ./nowhere"),
        (["data.train_files=none.parquet"], "no data file"),
        (["data.train_files=wrong.parquet"], "has no column data_source nor reward_model"),
        (["+algorithm.lipo.bost=2"], "unknown key 'bost' in algorithm.lipo"),
        (["algorithm.adv_estimator=lippo"], "did you mean 'lipo'"),
        (["trainer.nonsense=1"], "cannot compose"),
    ],
)
def test_training_is_refused_in_two_lines(directory, arguments, message):
    pd.DataFrame({"prompt": ["p"]}).to_parquet(directory / "wrong.parquet")
    status, output, written = run(directory, "train", "recipes/tiny/math.yaml", *arguments)
    assert status == 2, output
    assert "error: " in output and "fix: " in output
    assert message in output
    assert "Traceback" not in output
    assert written == []


def test_debug_shows_the_traceback(directory):
    status, output, _ = run(directory, "train", "--debug", "recipes/tiny/math.yaml", "data.val_files=none.parquet")
    assert status != 0
    assert "Traceback" in output and "LipoError" in output


def test_unknown_recipe(tmp_path):
    status, output, written = run(tmp_path, "merge", "recipes/tiny/nothing.yaml")
    assert status == 2
    assert "no recipe at recipes/tiny/nothing.yaml" in output
    assert written == []


def test_demo_refuses_a_wrong_key_before_any_stage(tmp_path):
    status, output, written = run(tmp_path, "demo", "recipes/tiny/demo.yaml", "training_override=[]")
    assert status == 2
    assert "did you mean 'training_overrides'" in output
    assert written == []


def test_demo_checks_the_last_recipe_before_the_first_training(tmp_path):
    sizes = 'data_options=["--train=4","--validation=4","--test=4"]'
    status, output, written = run(tmp_path, "demo", "recipes/tiny/demo.yaml", sizes, 'eval_overrides=["margn=0.1"]')
    assert status == 2
    assert "did you mean 'margin'" in output
    assert not [p for p in written if "training" in p.parts]


@pytest.mark.parametrize(
    "arguments",
    [
        ["eval", "recipes/tiny/eval.yaml", "models.x=[1", "--dry-run"],
        ["eval", "recipes/tiny/eval.yaml", "models.x=${oops}", "--dry-run"],
        ["merge", "--base", "B", "--experts", "a", "b", "--out", "O", "--set", "x=[1"],
        ["merge", "--base", "B", "--experts", "a", "b", "--out", "O", "--set", "x=${oops}"],
        ["merge", "recipes/tiny/merge.yaml", "method=ties", "options.x=[1"],
        ["run", "recipes/tiny/demo.yaml", "out=[1", "--dry-run"],
    ],
)
def test_an_override_that_is_no_yaml_is_refused_in_two_lines(tmp_path, arguments):
    status, output, written = run(tmp_path, *arguments)
    assert status == 2, output
    assert "error: cannot read " in output and "fix: correct the file or the override" in output
    assert "Traceback" not in output and written == []
