"""Checks a composed training configuration before anything is started."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from lipo.common import LipoError, parse, require_free_space
from lipo.common.config import nearest
from lipo.common.storage import require_local
from lipo.training.model import require_model

_COLUMNS = ("data_source", "prompt", "reward_model")
_VERL_ESTIMATORS = ("gae", "grpo", "grpo_passk", "grpo_vectorized", "rloo", "rloo_vectorized", "reinforce_plus_plus",
                    "reinforce_plus_plus_baseline", "remax", "opo", "gpg", "optimal_token_baseline",
                    "tir_optimal_token_baseline", "gdpo")  # fmt: skip
_CHECKPOINT_COPIES = 8
"""Bytes per model byte: float32 weights, two Adam moments and the export, for two checkpoints at once."""


def check(config: DictConfig, room: bool = True) -> None:
    """Refuse a run that would fail after its long start.

    Args:
        config: From :func:`lipo.training.compose`.
        room: Whether to ask for disk space too; a run that is done needs none.

    Raises:
        LipoError: Unknown estimator; unknown or invalid keys under ``algorithm.<estimator>``; a model that
            is neither here nor on the Hub; a data file that is missing, unreadable or without verl's columns; too
            little disk space.
    """
    _check_estimator(config)
    require_model(config.actor_rollout_ref.model.path, "actor_rollout_ref.model.path")
    for key in ("train_files", "val_files"):
        files = config.data[key]
        for file in [files] if isinstance(files, str) else files:
            _check_data(file, f"data.{key}", config)
    _check_export(config)
    if room:
        require_room(Path(config.trainer.default_local_dir), config.actor_rollout_ref.model.path)


def _check_estimator(config: DictConfig) -> None:
    from lipo.estimators import RULES

    name = str(config.algorithm.adv_estimator)
    if name not in RULES:
        known = [*RULES, *_VERL_ESTIMATORS]
        if name not in known and not config.actor_rollout_ref.model.get("external_lib"):
            raise LipoError(f"algorithm.adv_estimator is '{name}'", nearest(name, known))
        return
    section = config.algorithm.get(name)
    data: Any = OmegaConf.to_container(section, resolve=True) if section is not None else {}
    parse(RULES[name].config, data, f"algorithm.{name}")


def _check_data(file: str, where: str, config: DictConfig) -> None:
    import pyarrow
    import pyarrow.parquet

    if file.startswith("hdfs://"):
        return
    require_local(file, where)
    if not Path(file).is_file():
        raise LipoError(f"no data file {file} ({where})", "create it or correct the path")
    try:
        columns: Sequence[str] = pyarrow.parquet.read_schema(file).names
    except (pyarrow.ArrowInvalid, OSError) as error:
        raise LipoError(f"{file} ({where}) is not a parquet file: {error}", "write it as parquet") from error
    needed = [config.data.prompt_key if c == "prompt" else c for c in _COLUMNS]
    if missing := [c for c in needed if c not in columns]:
        raise LipoError(
            f"{file} ({where}) has no column {' nor '.join(missing)}, only {', '.join(columns)}",
            "write verl's columns: data_source, prompt, reward_model, and images or videos",
        )


def _check_export(config: DictConfig) -> None:
    contents = config.actor_rollout_ref.actor.checkpoint.save_contents
    if OmegaConf.select(config, "lipo.export") and "hf_model" not in contents:
        raise LipoError(
            f"actor_rollout_ref.actor.checkpoint.save_contents is {list(contents)}, nothing that lipo.export could use",
            "add hf_model to it",
        )


def require_room(directory: Path, model: str) -> None:
    """Make sure that the checkpoints of a run have room.

    Args:
        directory: Of the run.
        model: Path or name of the model; of one that is not here yet only a little is asked for.

    Raises:
        LipoError: The disk is too full.
    """
    weights = sum(f.stat().st_size for f in Path(model).glob("*.safetensors"))
    require_free_space(directory, _CHECKPOINT_COPIES * weights + 10**8, "the checkpoints of this run")
