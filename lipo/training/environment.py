"""The environment variables a training process needs."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from omegaconf import DictConfig, OmegaConf, open_dict

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

_LOOPBACK = "127.0.0.1"


def training_environment(config: DictConfig, metrics_file: Path) -> dict[str, str]:
    """Build the environment of verl's driver; Ray hands it on to the workers of a local cluster.

    Args:
        config: Composed configuration.
        metrics_file: Where verl's file logger writes.

    Returns:
        The whole environment; what the user has set stays as it is.
    """
    return program_environment(config.trainer.device == "cpu", config.actor_rollout_ref.model.path, metrics_file)


def program_environment(on_cpu: bool, model: str, metrics_file: Path) -> dict[str, str]:
    """Build the environment of any of verl's trainers.

    Args:
        on_cpu: Whether it computes on a CPU.
        model: Path or name; nothing is looked for on the network where it is a directory.
        metrics_file: Where verl's file logger writes.

    Returns:
        The whole environment; what the user has set stays as it is.
    """
    defaults = dict(_ALWAYS)
    if on_cpu:
        defaults |= _ON_CPU
    if Path(model).is_dir():
        defaults |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    environment = defaults | dict(os.environ)
    environment["VERL_FILE_LOGGER_PATH"] = str(metrics_file)
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment.get("PATH", "")])
    return environment


def join_cluster(config: DictConfig, environment: Mapping[str, str]) -> DictConfig:
    """Adapt a configuration to a cluster that is already running: one given, or that of the Ray job we are in.

    Args:
        config: Composed configuration.
        environment: From :func:`training_environment`.

    Returns:
        The same object where nothing needs to change. Where the configuration declares resources, hence means a Ray
        of its own, a copy that insists on it: Ray would otherwise join any that runs on this machine, and then refuse
        the declaration. That Ray stays on loopback. For a cluster, a copy that neither declares resources, which
        belong to the cluster, nor relies on the workers inheriting our environment, which they do not.
    """
    address = OmegaConf.select(config, "ray_kwargs.ray_init.address") or environment.get("RAY_ADDRESS")
    declares = any(
        OmegaConf.select(config, f"ray_kwargs.ray_init.{key}") is not None for key in ("num_cpus", "num_gpus")
    )
    if not (address or declares):
        return config
    joined = config.copy()
    with open_dict(joined):
        own = joined.ray_kwargs.ray_init
        if address in (None, "local"):
            own.address = "local"
            own._node_ip_address = own.get("_node_ip_address") or _LOOPBACK
            return joined
        for key in ("num_cpus", "num_gpus", "include_dashboard", "_node_ip_address", "object_store_memory"):
            own.pop(key, None)
        own.address = address
        # What the whole job has already must not be set again: Ray refuses it.
        names = [*_ALWAYS, *(_ON_CPU if config.trainer.device == "cpu" else ()), "VERL_FILE_LOGGER_PATH"]
        sent = {name: environment[name] for name in names if name in environment and name not in os.environ}
        OmegaConf.update(own, "runtime_env.env_vars", sent, force_add=True)
    return joined


def on_loopback(joined: DictConfig, environment: Mapping[str, str]) -> dict[str, str]:
    """Let a Ray of the training's own, and what verl starts on it, listen on this machine only.

    Ray replaces the loopback address by one that other machines reach, unless clusters are switched off
    (``get_node_ip_address`` in ray/_private/services.py); see :func:`lipo.common.local_ray.on_loopback`.

    Args:
        joined: From :func:`join_cluster`.
        environment: From :func:`training_environment`.

    Returns:
        The environment, changed only for a Ray of its own.
    """
    own = OmegaConf.select(joined, "ray_kwargs.ray_init._node_ip_address") == _LOOPBACK
    return {**({"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"} if own else {}), **environment}
