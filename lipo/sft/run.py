"""Runs verl's supervised trainer on a composed configuration and exports the finished model."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig, OmegaConf, open_dict

from lipo.common import atomic_write, only_one
from lipo.common.storage import require_local
from lipo.sft.preflight import steps_per_epoch
from lipo.training.environment import program_environment
from lipo.training.export import SETTINGS, export_model
from lipo.training.metrics import next_attempt, read_steps
from lipo.training.program import last_step, reporter, require_saved, run_program
from lipo.training.settings import require_same


@dataclass(frozen=True)
class StepLoss:
    """What one step of supervised training reports.

    Attributes:
        step: Number of the step, from 1.
        loss: Mean negative log-likelihood of a trained token.
        values: Every metric verl logged, by name.
    """

    step: int
    loss: float
    values: dict[str, float]


def read_losses(directory: Path) -> list[StepLoss]:
    """Merge the metrics files of all attempts; see :func:`lipo.training.read_history`."""
    steps = read_steps(directory, ("train/loss",))
    return [StepLoss(step, values["train/loss"], values) for step, values in steps.items()]


def planned_steps(config: DictConfig) -> int:
    """Steps that a checked configuration takes."""
    import pyarrow.parquet

    if config.trainer.total_training_steps is not None:
        return int(config.trainer.total_training_steps)
    files = config.data.train_files
    rows = [pyarrow.parquet.read_metadata(f).num_rows for f in ([files] if isinstance(files, str) else files)]
    return steps_per_epoch(config, sum(rows)) * int(config.trainer.total_epochs)


def train(
    config: DictConfig, on_step: Callable[[StepLoss], None] | None = None, on_wait: Callable[[], None] | None = None
) -> Path | None:
    """Train to the last step, continuing from the last checkpoint where there is one.

    Everything of the run lies in ``trainer.default_local_dir``: ``config.yaml`` (complete), ``log.txt``, ``metrics/``
    and verl's checkpoints.

    Args:
        config: From :func:`lipo.sft.compose`, checked by :func:`lipo.sft.check`.
        on_step: Called for each finished step, those of earlier attempts included.
        on_wait: Called about twice a second, for a progress display.

    Returns:
        The exported Hugging Face directory, or ``None`` when ``lipo.export`` is not set.

    Raises:
        LipoError: verl ended with an error, which the message quotes, or before the last step; or what is there
            already was made with other settings.
    """
    directory = Path(config.trainer.default_local_dir)
    export = OmegaConf.select(config, "lipo.export")
    require_local(export or "", "lipo.export")
    planned = planned_steps(config)
    roomy = _with_room(config, planned)
    if export and Path(export).is_dir():
        require_same(Path(export) / SETTINGS, roomy, "choose another lipo.export, or remove it")
        return Path(export)
    directory.mkdir(parents=True, exist_ok=True)
    with only_one(directory / "lock", f"training in {directory}"):
        if last_step(directory) < planned:
            _run_verl(roomy, directory, on_step, on_wait)
        else:
            require_same(directory / "config.yaml", roomy, "choose another trainer.default_local_dir, or remove it")
        done = require_saved(directory, planned)
        if not export:
            return None
        source = directory / f"global_step_{done}" / "huggingface"
        return export_model(source, directory / "config.yaml", Path(export))


def _with_room(config: DictConfig, planned: int) -> DictConfig:
    """Give verl an epoch to spare.

    A run that continues from the end of an epoch begins with an empty one where the data have workers
    (verl/trainer/sft_trainer.py:356), and would end without its last steps.
    """
    roomy = copy.deepcopy(config)
    with open_dict(roomy):
        roomy.trainer.total_training_steps = planned
        roomy.trainer.total_epochs += 1
    return roomy


def _run_verl(
    config: DictConfig,
    directory: Path,
    on_step: Callable[[StepLoss], None] | None,
    on_wait: Callable[[], None] | None,
) -> None:
    metrics = directory / "metrics"
    on_cpu = config.trainer.device == "cpu"
    environment = program_environment(on_cpu, config.model.path, next_attempt(metrics))
    if on_cpu:
        environment.setdefault("GLOO_SOCKET_IFNAME", "lo")
    with atomic_write(directory / "config.yaml") as file:
        file.write(OmegaConf.to_yaml(config))
    # One node: loopback, whatever its host name resolves to.
    command = [sys.executable, "-u", "-m", "torch.distributed.run", "--standalone", "--local-addr=127.0.0.1"]
    command += [f"--nproc-per-node={config.trainer.n_gpus_per_node}", "-m", "lipo.sft.trainer"]
    command += ["--config-path", str(directory), "--config-name", "config"]
    command += [f"hydra.run.dir={directory}/hydra", "hydra.output_subdir=null"]
    run_program(command, directory, environment, reporter(lambda: read_losses(metrics), on_step, on_wait))
