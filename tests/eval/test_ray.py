import socket
import time

import pytest
import ray

from eval import EngineConfig
from eval._ray import ray_session
from lipo.common import LipoError


def test_no_cluster_at_the_address() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    started = time.monotonic()
    with pytest.raises(LipoError, match=f"Ray does not start at '{address}'"), ray_session(address, EngineConfig()):
        pass
    assert not ray.is_initialized() and time.monotonic() - started < 10
