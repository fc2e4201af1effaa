"""Composes a training recipe over verl's own configuration."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from lipo.common import LipoError

# The trainer runs in Ray workers whose working directory is not the user's.
_PATH_KEYS = (
    "data.train_files",
    "data.val_files",
    "trainer.default_local_dir",
    "lipo.export",
)


def compose(recipe: Path, overrides: Sequence[str] = (), find_model: Callable[[Path], Path] = Path) -> DictConfig:
    """Compose a recipe and its overrides as verl's ``main_ppo`` would, with absolute paths.

    Args:
        recipe: YAML file whose ``defaults`` list starts from verl's ``ppo_trainer``.
        overrides: Hydra overrides, e.g. ``["algorithm.adv_estimator=grpo"]``.
        find_model: Resolves ``actor_rollout_ref.model.path`` when it is a local directory.

    Returns:
        The configuration, complete and resolved.

    Raises:
        LipoError: The recipe or an override is wrong; the message is Hydra's.
    """
    config = compose_recipe(recipe, overrides)
    with open_dict(config):
        _bound_lengths(config)
    find_paths(config, _PATH_KEYS, "actor_rollout_ref.model.path", find_model)
    return config


def compose_recipe(recipe: Path, overrides: Sequence[str]) -> DictConfig:
    """Compose and resolve a recipe over any of verl's configurations; see :func:`compose`."""
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException

    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(recipe.parent.absolute()), version_base=None):
            config = hydra_compose(recipe.stem, overrides=list(overrides))
        OmegaConf.resolve(config)
    except (HydraException, OmegaConfBaseException) as error:
        message = " ".join(re.sub(r"\s+", " ", str(error)).split())
        raise LipoError(f"cannot compose {recipe}: {message}", "correct the recipe or the override") from error
    return config


def find_paths(config: DictConfig, keys: Sequence[str], model_key: str, find_model: Callable[[Path], Path]) -> None:
    """Make paths absolute and find the model, in place; URLs stay.

    Args:
        config: Composed.
        keys: Keys of paths or lists of paths.
        model_key: Key of the model's path or name.
        find_model: Resolves it when it is a local directory.
    """
    with open_dict(config):
        for key in keys:
            value = OmegaConf.select(config, key)
            if isinstance(value, str) and "://" not in value:
                OmegaConf.update(config, key, str(Path(value).absolute()))
            elif OmegaConf.is_list(value):
                OmegaConf.update(config, key, [v if "://" in v else str(Path(v).absolute()) for v in value])
        model = OmegaConf.select(config, model_key)
        if "://" not in model:
            found = find_model(Path(model)).absolute()
            if found.is_dir():
                OmegaConf.update(config, model_key, str(found))


def _bound_lengths(config: DictConfig) -> None:
    """Give the chosen rule the length limit of generation where the recipe says nothing else."""
    from lipo.estimators import RULES

    key = f"algorithm.{config.algorithm.adv_estimator}"
    section = OmegaConf.select(config, key)
    if config.algorithm.adv_estimator in RULES and (section is None or "max_length" not in section):
        OmegaConf.update(config, f"{key}.max_length", config.data.max_response_length)
