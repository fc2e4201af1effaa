"""Runs verl's ``main_ppo`` on a composed configuration and exports the finished expert."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from lipo.common import atomic_write, only_one
from lipo.common.storage import require_local
from lipo.training.environment import join_cluster, on_loopback, training_environment
from lipo.training.export import SETTINGS, export_model
from lipo.training.metrics import StepMetrics, next_attempt, read_history
from lipo.training.program import last_step, reporter, require_saved, run_program
from lipo.training.settings import require_same


def train(
    config: DictConfig, on_step: Callable[[StepMetrics], None] | None = None, on_wait: Callable[[], None] | None = None
) -> Path | None:
    """Train until ``trainer.total_training_steps``, continuing from the last checkpoint where there is one.

    Everything of the run lies in ``trainer.default_local_dir``: ``config.yaml`` (complete), ``log.txt``, ``metrics/``
    and verl's checkpoints.

    Args:
        config: From :func:`lipo.training.compose`, checked by :func:`lipo.training.check`.
        on_step: Called for each finished step, those of earlier attempts included.
        on_wait: Called about twice a second, for a progress display.

    Returns:
        The exported Hugging Face directory, or ``None`` when ``lipo.export`` is not set.

    Raises:
        LipoError: verl ended with an error, which the message quotes, or, where a model is to be exported, without
            having saved the last step. Or what is there already was made with other settings.
    """
    directory = Path(config.trainer.default_local_dir)
    export = OmegaConf.select(config, "lipo.export")
    require_local(export or "", "lipo.export")
    if export and Path(export).is_dir():
        require_same(Path(export) / SETTINGS, config, "choose another lipo.export, or remove it")
        _replay(directory, on_step)
        return Path(export)
    directory.mkdir(parents=True, exist_ok=True)
    with only_one(directory / "lock", f"training in {directory}"):
        return _train_and_export(config, directory, export, on_step, on_wait)


def _train_and_export(
    config: DictConfig,
    directory: Path,
    export: str | None,
    on_step: Callable[[StepMetrics], None] | None,
    on_wait: Callable[[], None] | None,
) -> Path | None:
    planned = int(config.trainer.total_training_steps or 0)
    if planned and last_step(directory) >= planned:
        require_same(directory / "config.yaml", config, "choose another trainer.default_local_dir, or remove it")
        _replay(directory, on_step)
    else:
        _run_verl(config, directory, on_step, on_wait)
    if not export:
        return None
    advice = "; trainer.save_freq has to be positive and trainer.total_epochs to suffice"
    done = require_saved(directory, planned, advice)
    source = directory / f"global_step_{done}" / "actor" / "huggingface"
    return export_model(source, directory / "config.yaml", Path(export))


def _replay(directory: Path, on_step: Callable[[StepMetrics], None] | None) -> None:
    for entry in read_history(directory / "metrics") if on_step else ():
        on_step(entry)  # type: ignore[misc]


def _run_verl(
    config: DictConfig,
    directory: Path,
    on_step: Callable[[StepMetrics], None] | None,
    on_wait: Callable[[], None] | None,
) -> None:
    metrics = directory / "metrics"
    environment = training_environment(config, next_attempt(metrics))
    joined = join_cluster(config, environment)
    environment = on_loopback(joined, environment)
    with atomic_write(directory / "config.yaml") as file:
        file.write(OmegaConf.to_yaml(joined))
    command = [sys.executable, "-u", "-m", "verl.trainer.main_ppo", "--config-path", str(directory)]
    command += ["--config-name", "config", f"hydra.run.dir={directory}/hydra", "hydra.output_subdir=null"]
    run_program(command, directory, environment, reporter(lambda: read_history(metrics), on_step, on_wait))
