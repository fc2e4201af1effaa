"""Composes a recipe over verl's ``sft_trainer_engine``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from lipo.common import LipoError
from lipo.training.compose import compose_recipe, find_paths

PATH_KEYS = ("data.train_files", "data.val_files", "trainer.default_local_dir", "lipo.export")


def compose(recipe: Path, overrides: Sequence[str] = (), find_model: Callable[[Path], Path] = Path) -> DictConfig:
    """Compose a recipe and its overrides as verl's ``sft_trainer`` would, with absolute paths.

    Args:
        recipe: YAML file whose ``defaults`` list starts from verl's ``sft_trainer_engine``.
        overrides: Hydra overrides, e.g. ``["optim.lr=1e-5"]``.
        find_model: Resolves ``model.path`` when it is a local directory.

    Returns:
        The configuration, complete and resolved.

    Raises:
        LipoError: The recipe or an override is wrong, or the recipe is of another trainer.
    """
    config = compose_recipe(recipe, overrides)
    if OmegaConf.select(config, "model.path") is None or OmegaConf.select(config, "engine") is None:
        raise LipoError(
            f"{recipe} is no recipe of supervised training",
            "start its defaults with sft_trainer_engine, or use lipo train",
        )
    find_paths(config, PATH_KEYS, "model.path", find_model)
    return config
