"""The environment variables a training process needs."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from omegaconf import DictConfig

_ALWAYS = {
    "HYDRA_FULL_ERROR": "1",
    "RAY_DEDUP_LOGS": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "VLLM_NO_USAGE_STATS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}

_ON_CPU = {
    "VERL_PLATFORM": "cpu",
    "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB; the default reserves far more than a laptop has
    "TORCHDYNAMO_DISABLE": "1",  # compiling costs more than a small model's whole run
    "RAY_memory_monitor_refresh_ms": "0",  # counts shared pages several times and kills healthy workers
    "OMP_NUM_THREADS": str(os.cpu_count() or 1),
}


def training_environment(config: DictConfig, metrics_file: Path) -> dict[str, str]:
    """Build the environment of verl's driver; Ray hands it on to the workers of a local cluster.

    Args:
        config: Composed configuration.
        metrics_file: Where verl's file logger writes.

    Returns:
        The whole environment; what the user has set stays as it is.
    """
    defaults = dict(_ALWAYS)
    if config.trainer.device == "cpu":
        defaults |= _ON_CPU
    if Path(config.actor_rollout_ref.model.path).is_dir():
        defaults |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    environment = defaults | dict(os.environ)
    environment["VERL_FILE_LOGGER_PATH"] = str(metrics_file)
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment.get("PATH", "")])
    return environment
