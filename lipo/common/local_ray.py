"""A Ray of this process alone, which leaves nothing behind; and tells at once where there is no cluster."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections.abc import Iterator

import psutil

_STARTS = 3


@contextlib.contextmanager
def local_ray(num_cpus: int, object_store_memory: int) -> Iterator[None]:
    """Run a Ray on the loopback interface for the block, and end all of its processes with it.

    A start whose processes need more than Ray's 30 s to come up, as on a busy machine, is tried again.

    Args:
        num_cpus: CPUs that it declares.
        object_store_memory: Bytes.

    Raises:
        Exception: Ray does not start; Ray raises bare ones, too.

    Example:
        >>> with local_ray(num_cpus=1, object_store_memory=100 * 2**20):  # doctest: +SKIP
        ...     ray.get(task.remote())
    """
    import ray

    others = _descendants()
    family: set[psutil.Process] = set()
    try:
        for left in reversed(range(_STARTS)):
            try:
                # "local": a RAY_ADDRESS in the environment must not lend this work to somebody's cluster.
                with on_loopback():
                    ray.init(
                        address="local",
                        num_cpus=num_cpus,
                        include_dashboard=False,
                        log_to_driver=False,
                        logging_level=logging.ERROR,
                        object_store_memory=object_store_memory,
                        _node_ip_address="127.0.0.1",
                    )
                break
            except Exception:
                _end(_descendants() - others)
                if not left:
                    raise
        # Ray's agents notice only after minutes that their raylet has died; by then they are nobody's children.
        family = _descendants() - others
        yield
    finally:
        _end(family | _descendants() - others)


def _end(family: set[psutil.Process]) -> None:
    """Shut Ray down, and kill what it forgets: a failed start's processes, agents whose raylet died before them."""
    import ray

    ray.shutdown()
    for process in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(family, timeout=5)


def _descendants() -> set[psutil.Process]:
    return set(psutil.Process().children(recursive=True))


@contextlib.contextmanager
def on_loopback() -> Iterator[None]:
    """Make a ``ray.init`` within this block listen on 127.0.0.1 only.

    Ray replaces ``_node_ip_address="127.0.0.1"`` by an address that other machines reach, and so opens ports to the
    network even for one machine's own work. It keeps the loopback address where clusters are not supported (its
    default on other systems than Linux); this says so for the one call and the processes it starts.

    Example:
        >>> import ray
        >>> with on_loopback():
        ...     _ = ray.init(address="local", _node_ip_address="127.0.0.1")  # doctest: +SKIP
    """
    from ray._private import ray_constants

    name = getattr(ray_constants, "ENABLE_RAY_CLUSTERS_ENV_VAR", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER")
    variable, constant = os.environ.get(name), ray_constants.ENABLE_RAY_CLUSTER
    os.environ[name] = "0"
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = constant
        if variable is None:
            del os.environ[name]
        else:
            os.environ[name] = variable


def reach(address: str) -> None:
    """Fail at once where nobody listens: Ray itself would try for many minutes.

    Args:
        address: As Ray takes it; one that is no ``host:port``, such as ``auto``, is left to Ray.

    Raises:
        OSError: Nobody listens there.
    """
    host, _, port = address.rpartition(":")
    if host and "/" not in host and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
