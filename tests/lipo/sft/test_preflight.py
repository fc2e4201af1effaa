from pathlib import Path

import pandas as pd
import pytest

from lipo.common import LipoError
from lipo.sft import check, compose, planned_steps

RECIPES = Path(__file__).parents[3] / "recipes" / "tiny"


@pytest.fixture
def good(tmp_path):
    """Overrides of a recipe that would start."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model/config.json").write_text("{}")
    pd.DataFrame({"messages": [["m"]] * 40}).to_parquet(tmp_path / "data.parquet")
    return {
        "model.path": tmp_path / "model",
        "data.train_files": tmp_path / "data.parquet",
        "trainer.default_local_dir": tmp_path / "run",
        "data.train_batch_size": 16,
        "trainer.total_epochs": 80,
    }


def composed(overrides, *more):
    return compose(RECIPES / "video_sft.yaml", [*(f"{k}={v}" for k, v in overrides.items()), *more])


def test_good_configuration_passes_and_writes_nothing(good, tmp_path):
    config = composed(good)
    check(config)
    assert not (tmp_path / "run").exists()
    assert planned_steps(config) == 160, "two batches of 16 in 40 examples, 80 epochs"
    assert planned_steps(composed(good, "trainer.total_training_steps=5")) == 5
    assert config.lipo.export == str(Path("runs/video/cold_start").absolute())


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["model.path=./nowhere"], r"no model at \./nowhere"),
        (["data.train_files=nowhere.parquet"], r"nowhere\.parquet \(data\.train_files\)"),
        (["data.val_files=nowhere.parquet"], r"nowhere\.parquet \(data\.val_files\)"),
        (["data.messages_key=turns"], "has no column turns, only messages"),
        (["data.train_batch_size=64"], "40 examples are less than a batch of 64"),
        (["trainer.total_training_steps=161"], "80 epochs have 160"),
        (["trainer.n_gpus_per_node=3"], "3 processes cannot share"),
        (["trainer.nnodes=2"], "starts the processes of one node"),
        (["checkpoint.save_contents=[model]"], "add hf_model|nothing that lipo.export"),
    ],
)
def test_what_would_fail_later_is_refused(good, more, message):
    with pytest.raises(LipoError, match=message):
        check(composed(good, *more))


def test_a_recipe_of_another_trainer_is_refused():
    with pytest.raises(LipoError, match="no recipe of supervised training"):
        compose(RECIPES / "math.yaml")


def test_an_unknown_override_is_refused(good):
    with pytest.raises(LipoError, match="cannot compose"):
        composed(good, "optim.learning_rate=1")
