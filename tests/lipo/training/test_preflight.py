from pathlib import Path

import pandas as pd
import pytest
from omegaconf import OmegaConf

from lipo.common import LipoError
from lipo.training import check, compose

RECIPES = Path(__file__).parents[3] / "recipes" / "tiny"


@pytest.fixture
def good(tmp_path):
    """Overrides of a recipe that would start."""
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    data = tmp_path / "data.parquet"
    pd.DataFrame({"data_source": ["x"], "prompt": ["p"], "reward_model": ["r"]}).to_parquet(data)
    return {
        "actor_rollout_ref.model.path": model,
        "data.train_files": data,
        "data.val_files": data,
        "trainer.default_local_dir": tmp_path / "run",
        "lipo.export": tmp_path / "expert",
    }


def composed(overrides, *more):
    return compose(RECIPES / "math.yaml", [*(f"{k}={v}" for k, v in overrides.items()), *more])


def test_good_configuration_passes_and_writes_nothing(good, tmp_path):
    check(composed(good))
    assert not (tmp_path / "run").exists()


def test_missing_model(good):
    good["actor_rollout_ref.model.path"] = "./nowhere"
    with pytest.raises(LipoError, match=r"no model at \./nowhere"):
        check(composed(good))


def test_missing_data_file(good):
    good["data.val_files"] = "nowhere.parquet"
    with pytest.raises(LipoError, match=r"nowhere\.parquet \(data\.val_files\)"):
        check(composed(good))


def test_data_without_the_needed_columns(good, tmp_path):
    pd.DataFrame({"prompt": ["p"], "question": ["q"]}).to_parquet(tmp_path / "data.parquet")
    with pytest.raises(LipoError, match="has no column data_source nor reward_model, only prompt, question"):
        check(composed(good))


def test_data_that_is_no_parquet(good, tmp_path):
    (tmp_path / "data.parquet").write_text("hello")
    with pytest.raises(LipoError, match="is not a parquet file"):
        check(composed(good))


def test_unknown_key_of_lipo_names_the_nearest(good):
    with pytest.raises(LipoError, match=r"unknown key 'bost' in algorithm\.lipo; did you mean 'boost'"):
        check(composed(good, "+algorithm.lipo.bost=2"))


def test_value_out_of_range(good):
    with pytest.raises(LipoError, match=r"algorithm\.lipo\.similarity_threshold"):
        check(composed(good, "+algorithm.lipo.similarity_threshold=-1"))


def test_unknown_estimator_names_the_nearest(good):
    with pytest.raises(LipoError, match="did you mean 'grpo'"):
        check(composed(good, "algorithm.adv_estimator=grop"))


@pytest.mark.parametrize("name", ["grpo", "grpo_vectorized", "rloo"])
def test_verls_own_estimators_pass(good, name):
    check(composed(good, f"algorithm.adv_estimator={name}"))


def test_known_estimators_are_those_verl_registers():
    from verl.trainer.ppo.core_algos import ADV_ESTIMATOR_REGISTRY

    from lipo.estimators import RULES
    from lipo.training.preflight import _VERL_ESTIMATORS

    assert set(ADV_ESTIMATOR_REGISTRY) - set(RULES) == set(_VERL_ESTIMATORS)


def test_export_needs_huggingface_weights(good):
    with pytest.raises(LipoError, match="add hf_model"):
        check(composed(good, "actor_rollout_ref.actor.checkpoint.save_contents=[model]"))


def test_full_disk(good, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 10**6})())
    with pytest.raises(LipoError, match="the checkpoints of this run needs"):
        check(composed(good))


def test_check_leaves_the_configuration_alone(good):
    config = composed(good)
    before = OmegaConf.to_yaml(config)
    check(config)
    assert OmegaConf.to_yaml(config) == before
