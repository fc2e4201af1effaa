from pathlib import Path

import pytest
from omegaconf import OmegaConf

from lipo.common import LipoError
from lipo.training import compose
from lipo.training.settings import differences, require_same

RECIPE = Path(__file__).parents[3] / "recipes/tiny/math.yaml"


@pytest.fixture(scope="module")
def made():
    """As a training writes it down and a later one reads it."""
    return OmegaConf.create(OmegaConf.to_yaml(compose(RECIPE)))


def test_the_same_recipe_has_no_differences(made):
    assert differences(made, compose(RECIPE)) == []


def test_names_places_logs_and_saving_are_no_differences(made):
    asides = [
        "trainer.experiment_name=other",
        "trainer.logger=[console]",
        "trainer.default_local_dir=elsewhere",
        "trainer.rollout_data_dir=elsewhere/rollouts",
        "trainer.save_freq=4",
        "trainer.max_actor_ckpt_to_keep=1",
        "trainer.resume_mode=disable",
        "trainer.val_before_train=true",
        "lipo.export=elsewhere/expert",
        "++ray_kwargs.ray_init.address=auto",
        "data.train_files=/moved/data/math_train.parquet",
        "actor_rollout_ref.model.path=/moved/tiny/base",
    ]
    assert differences(made, compose(RECIPE, asides)) == []


@pytest.mark.parametrize(
    "override",
    [
        "algorithm.adv_estimator=grpo",
        "+algorithm.lipo.boost=2.0",
        "actor_rollout_ref.actor.optim.lr=1e-6",
        "trainer.total_training_steps=32",
        "data.seed=8",
        "data.train_files=runs/demo/data/ocr_train.parquet",
        "actor_rollout_ref.model.path=runs/other/base",
    ],
)
def test_what_makes_another_model_is_one(made, override):
    key = override.partition("=")[0].lstrip("+")
    assert key in differences(made, compose(RECIPE, [override]))


def test_the_message_names_the_keys_and_what_to_do(made, tmp_path):
    with pytest.raises(LipoError, match=r"there, but not settings\.yaml.*; remove it"):
        require_same(tmp_path / "settings.yaml", made, "remove it")
    OmegaConf.save(made, tmp_path / "settings.yaml")
    require_same(tmp_path / "settings.yaml", made, "remove it")
    other = compose(RECIPE, ["data.seed=8", "actor_rollout_ref.rollout.n=4"])
    with pytest.raises(LipoError, match=r"made with other settings \(.*rollout\.n.*data\.seed\); remove it"):
        require_same(tmp_path / "settings.yaml", other, "remove it")
    (tmp_path / "settings.yaml").write_text("[1")
    with pytest.raises(LipoError, match="which says what made it"):
        require_same(tmp_path / "settings.yaml", made, "remove it")
