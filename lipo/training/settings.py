"""Whether what a training has made comes from these settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lipo.common import LipoError

# Beginnings of keys of names, logs, saving, validation, and of the machine; none of them changes the model.
_ASIDE = (
    "lipo.export",
    "ray_kwargs.",
    "data.val_",
    "trainer.default_",
    "trainer.project_name",
    "trainer.experiment_name",
    "trainer.logger",
    "trainer.log_",
    "trainer.rollout_data_dir",
    "trainer.validation_data_dir",
    "trainer.save_freq",
    "trainer.test_freq",
    "trainer.val_",
    "trainer.max_",
    "trainer.del_",
    "trainer.resume_",
    "actor_rollout_ref.rollout.trace.",
    "actor_rollout_ref.rollout.prometheus.",
    "actor_rollout_ref.rollout.val_kwargs.",
)
_INPUTS = ("data.train_files", "model.path", "actor_rollout_ref.model.path")
_SHOWN = 5


def differences(made: DictConfig, config: DictConfig) -> list[str]:
    """List the keys in which two configurations would train different models.

    Files are known by their names here, so that a folder may be moved.

    Args:
        made: Of a training that has been run.
        config: Of one to be run; composed.
    """
    old, new = (dict(_leaves(OmegaConf.to_container(c, resolve=True))) for c in (made, config))
    changed = (key for key in {*old, *new} if old.get(key) != new.get(key))
    return sorted(key for key in changed if not key.startswith(_ASIDE))


def require_same(file: Path, config: DictConfig, fix: str) -> None:
    """Refuse to take what other settings have made for the result of these.

    Args:
        file: Configuration kept beside the result.
        config: Composed.
        fix: What to do about it.

    Raises:
        LipoError: The settings differ, or the file cannot be read.
    """
    try:
        changed = differences(OmegaConf.load(file), config)  # type: ignore[arg-type]
    except (OSError, AttributeError, yaml.YAMLError, OmegaConfBaseException) as error:
        raise LipoError(f"{file.parent} is there, but not {file.name}, which says what made it", fix) from error
    if changed:
        keys = ", ".join(changed[:_SHOWN]) + (", …" if len(changed) > _SHOWN else "")
        raise LipoError(f"{file.parent} was made with other settings ({keys})", fix)


def _leaves(tree: Any, above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        key = f"{above}{name}"
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{key}.")
        elif key in _INPUTS:
            yield key, [_named(place) for place in (value if isinstance(value, list) else [value])]
        else:
            yield key, value


def _named(place: Any) -> str:
    """Name a file with its folder: ``train.parquet`` alone may be of any task."""
    return "/".join(PurePath(str(place)).parts[-2:])
