from pathlib import Path

import pytest

from lipo.common import LipoError
from lipo.training import compose

RECIPES = Path(__file__).parents[3] / "recipes" / "tiny"


@pytest.mark.parametrize("task", ["math", "structured", "ocr"])
def test_recipe_composes_over_verls_defaults(task):
    config = compose(RECIPES / f"{task}.yaml")
    assert config.algorithm.adv_estimator == "lipo"
    assert config.algorithm.lipo.max_length == config.data.max_response_length
    assert config.reward.custom_reward_function.path == f"pkg://reward_fns.{task}"
    assert config.actor_rollout_ref.rollout.name == "vllm"
    # A key that only verl's own defaults know.
    assert config.actor_rollout_ref.actor.clip_ratio > 0


def test_overrides_reach_the_configuration():
    config = compose(RECIPES / "math.yaml", ["algorithm.adv_estimator=grpo", "data.max_response_length=64"])
    assert config.algorithm.adv_estimator == "grpo"
    assert config.algorithm.lipo.max_length == 64


def test_every_rule_knows_the_length_limit():
    limit = "data.max_response_length=64"
    config = compose(RECIPES / "math.yaml", ["algorithm.adv_estimator=dast", limit])
    assert config.algorithm.dast.max_length == 64
    config = compose(RECIPES / "math.yaml", ["algorithm.adv_estimator=dast", limit, "+algorithm.dast.max_length=32"])
    assert config.algorithm.dast.max_length == 32
    assert "grpo" not in compose(RECIPES / "math.yaml", ["algorithm.adv_estimator=grpo"]).algorithm


def test_paths_become_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = tmp_path / "model"
    model.mkdir()
    config = compose(
        RECIPES / "math.yaml", ["actor_rollout_ref.model.path=model", "data.val_files=[a.parquet,b.parquet]"]
    )
    assert config.data.train_files == str(tmp_path / "runs/demo/data/math_train.parquet")
    assert list(config.data.val_files) == [str(tmp_path / "a.parquet"), str(tmp_path / "b.parquet")]
    assert config.actor_rollout_ref.model.path == str(model)
    assert config.lipo.export == str(tmp_path / "runs/demo/experts/math")


def test_model_name_of_a_hub_stays_as_it_is():
    config = compose(RECIPES / "math.yaml", ["actor_rollout_ref.model.path=Qwen/Qwen2.5-VL-3B-Instruct"])
    assert config.actor_rollout_ref.model.path == "Qwen/Qwen2.5-VL-3B-Instruct"


@pytest.mark.parametrize("override", ["trainer.total_steps=3", "no equals sign", "data.seed=${data.nothing}"])
def test_wrong_override_is_one_message(override):
    with pytest.raises(LipoError, match="cannot compose"):
        compose(RECIPES / "math.yaml", [override])


def test_broken_recipe_is_one_message(tmp_path):
    (tmp_path / "bad.yaml").write_text("defaults: [nowhere]\n")
    with pytest.raises(LipoError, match="nowhere"):
        compose(tmp_path / "bad.yaml")
