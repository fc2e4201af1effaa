"""Keeps a local Ray on the loopback interface, and tells at once where there is no cluster."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator


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
