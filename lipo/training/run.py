"""Runs verl's ``main_ppo`` on a composed configuration and exports the finished expert."""

from __future__ import annotations

import json
import re
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from lipo.common import LipoError, atomic_directory, atomic_write, only_one
from lipo.common.processes import supervised
from lipo.training.environment import join_cluster, on_loopback, training_environment
from lipo.training.lora import META, fold_adapters
from lipo.training.metrics import StepMetrics, read_history

_POLL_SECONDS = 0.5


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
        LipoError: verl ended with an error; the message quotes it and names the log.
    """
    directory = Path(config.trainer.default_local_dir)
    export = OmegaConf.select(config, "lipo.export")
    if export and Path(export).is_dir():
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
    if _last_step(directory) < int(config.trainer.total_training_steps or sys.maxsize):
        _run_verl(config, directory, on_step, on_wait)
    else:
        _replay(directory, on_step)
    return _export(directory, Path(export)) if export else None


def _replay(directory: Path, on_step: Callable[[StepMetrics], None] | None) -> None:
    for entry in read_history(directory / "metrics") if on_step else ():
        on_step(entry)  # type: ignore[misc]


def _last_step(directory: Path) -> int:
    """Step of the newest whole checkpoint; verl writes this file after the checkpoint itself."""
    marker = directory / "latest_checkpointed_iteration.txt"
    return int(marker.read_text(encoding="utf-8")) if marker.is_file() else 0


def _run_verl(
    config: DictConfig,
    directory: Path,
    on_step: Callable[[StepMetrics], None] | None,
    on_wait: Callable[[], None] | None,
) -> None:
    metrics = directory / "metrics"
    metrics.mkdir(exist_ok=True)
    # verl's file logger truncates its file when it starts (tracking.py:541): each attempt has its own.
    attempt = metrics / f"attempt-{len(list(metrics.glob('attempt-*.jsonl'))) + 1:04d}.jsonl"
    environment = training_environment(config, attempt)
    joined = join_cluster(config, environment)
    environment = on_loopback(joined, environment)
    with atomic_write(directory / "config.yaml") as file:
        file.write(OmegaConf.to_yaml(joined))
    log = directory / "log.txt"
    start_of_log = log.stat().st_size if log.exists() else 0
    command = [sys.executable, "-u", "-m", "verl.trainer.main_ppo", "--config-path", str(directory)]
    command += ["--config-name", "config", f"hydra.run.dir={directory}/hydra", "hydra.output_subdir=null"]
    reported = 0
    with supervised(command, log, environment) as process:
        while True:
            ended = process.poll() is not None
            for entry in read_history(metrics):
                if entry.step > reported:
                    reported = entry.step
                    if on_step:
                        on_step(entry)
            if ended:
                break
            if on_wait:
                on_wait()
            time.sleep(_POLL_SECONDS)
    if process.returncode != 0:
        raise LipoError(
            f"training ended with status {process.returncode}: {_last_error(log, start_of_log)}",
            f"see {log}; the same command continues from step {_last_step(directory)}",
        )


def _last_error(log: Path, offset: int) -> str:
    with log.open("rb") as file:
        file.seek(offset)
        lines = file.read().decode("utf-8", errors="replace").splitlines()
    errors = [line.strip() for line in lines if re.search(r"(^|\s|\.)[A-Z]\w*(Error|Exception)\b.*:", line)]
    return (errors or lines or ["no output"])[-1][-500:]


def _export(directory: Path, export: Path) -> Path:
    source = directory / f"global_step_{_last_step(directory)}" / "actor" / "huggingface"
    if not any(source.glob("*.safetensors")):
        raise LipoError(f"no Hugging Face weights in {source}", "set save_freq so that the last step is saved")
    with atomic_directory(export) as work:
        shutil.copytree(source, work, dirs_exist_ok=True)
        if (source.parent / META).is_file():
            fold_adapters(work, source.parent / META)
        _declare_dtype(work)
        shutil.copy2(directory / "config.yaml", work / "training_config.yaml")
    return export


def _declare_dtype(directory: Path) -> None:
    """Make ``config.json`` name the type of the stored weights.

    verl stores float32 but leaves the rollout's bfloat16 in the configuration: loaders would round the weights away.
    """
    from safetensors import safe_open

    names = {"F32": "float32", "BF16": "bfloat16", "F16": "float16"}
    stored = set()
    for file in directory.glob("*.safetensors"):
        with safe_open(file, framework="pt") as weights:
            stored |= {weights.get_slice(key).get_dtype() for key in weights.keys()}  # noqa: SIM118 (no mapping)
    if len(stored) != 1 or not stored <= names.keys():
        return
    (dtype,) = stored
    config_file = directory / "config.json"
    config = json.loads(config_file.read_text(encoding="utf-8"))
    for section in (config, *(v for v in config.values() if isinstance(v, dict))):
        for key in ("dtype", "torch_dtype"):
            if key in section:
                section[key] = names[dtype]
    with atomic_write(config_file) as stream:
        stream.write(json.dumps(config, indent=2) + "\n")
