"""A Ray of one process, and what is left of it."""

import psutil
import pytest
import ray
from ray._private import worker

from lipo.common.local_ray import local_ray


def test_nothing_is_left_even_of_agents_that_have_lost_their_raylet(monkeypatch: pytest.MonkeyPatch) -> None:
    bystander = psutil.Popen(["sleep", "600"])
    others = set(psutil.Process().children(recursive=True))
    try:
        with local_ray(num_cpus=1, object_store_memory=100 * 2**20):
            assert ray.get(ray.remote(lambda: 7).remote(), timeout=60) == 7
            family = set(psutil.Process().children(recursive=True)) - others
            agents = [process for process in family if "Agent" in process.name()]
            assert agents
            for agent in agents:
                agent.suspend()  # so that it cannot notice
            raylet = next(process for process in family if process.name() == "raylet")
            shut_down = worker._global_node.kill_all_processes

            def raylet_dies_first(**options: object) -> None:
                raylet.kill()  # no sooner: Ray ends a driver, here pytest, that sees its raylet gone
                shut_down(**options)

            monkeypatch.setattr(worker._global_node, "kill_all_processes", raylet_dies_first)
        assert not ray.is_initialized() and not raylet.is_running()
        assert not [process for process in family if process.is_running() and process.status() != "zombie"]
        assert bystander.is_running()
    finally:
        bystander.kill()
        bystander.wait()


def test_what_a_start_that_failed_has_left_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[psutil.Popen] = []

    def start(**options: object) -> None:
        started.append(psutil.Popen(["sleep", "600"]))
        raise RuntimeError("the raylet took too long")

    monkeypatch.setattr(ray, "init", start)
    with pytest.raises(RuntimeError, match="too long"), local_ray(num_cpus=1, object_store_memory=100 * 2**20):
        raise AssertionError("no Ray")
    assert len(started) == 3
    assert not any(process.is_running() for process in started)
