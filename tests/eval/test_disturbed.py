"""Runs that lose replicas, drivers and nodes end with the very rows of an undisturbed one."""

import json
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

import eval as evaluation
from eval import BenchmarkConfig, EngineConfig, EvalConfig, SamplingConfig
from eval._record import RECORD
from recipes.tiny.make_data import make_frame
from recipes.tiny.model import build_model, save_model

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
ITEMS, KILLS = 96, 10
# With float32 and greedy decoding no answer depended on the batch in 20 000 tokens (docs/evaluation.md).
# Two answers at a time: a fast machine must not be done before it is disturbed.
ENGINE = EngineConfig(replicas=2, dtype="float32", max_model_len=256, max_num_seqs=2, kv_cache_gb=0.1)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Configuration of a finished run, and its rows."""
    folder = tmp_path_factory.mktemp("undisturbed")
    save_model(build_model(1), folder / "random")
    make_frame("math", "test", ITEMS).to_parquet(folder / "math.parquet")
    config = EvalConfig(
        models={"base": ROOT / "recipes/tiny/base", "random": folder / "random"},
        baseline="base",
        benchmarks={"math": BenchmarkConfig(folder / "math.parquet", "math")},
        out=folder / "out",
        sampling=SamplingConfig(temperature=0.0, max_tokens=96),
        engine=ENGINE,
    )
    evaluation.run(config)
    return config, _rows(config)


def _files(config):
    return [config.out / "answers" / model / "math.jsonl" for model in config.models]


def _rows(config):
    """All rows, none of them twice."""
    rows = [json.loads(line) for file in _files(config) for line in file.read_text().splitlines()]
    assert len({row["key"] for row in rows}) == len(rows) == 2 * ITEMS
    return sorted(rows, key=lambda row: row["key"])


def _count(config):
    return sum(file.read_bytes().count(b"\n") for file in _files(config) if file.exists())


class _Driver:
    """``lipo eval`` in a process of its own, whose descendants are known by a variable of their environment."""

    def __init__(self, recipe, log):
        self.mark = uuid.uuid4().hex
        self.process = subprocess.Popen(
            [sys.executable, "-c", "from lipo.cli import main; main()", "eval", str(recipe)],
            env={**os.environ, "PYTHONPATH": str(ROOT), "LIPO_TEST_MARK": self.mark},
            stdout=log.open("a"),
            stderr=subprocess.STDOUT,
            cwd=recipe.parent,
            start_new_session=True,
        )

    def replicas(self):
        return [p for p in self.family() if "Replica" in " ".join(p.cmdline())]

    def family(self):
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("LIPO_TEST_MARK") == self.mark and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def wait_until_gone(self):
        # A Ray worker that is just starting when its raylet dies gives up only after 25 to 30 s, more under load.
        until = time.monotonic() + 90
        while (left := self.family()) and time.monotonic() < until:
            time.sleep(0.2)
        assert not left, [p.cmdline() for p in left]


@pytest.fixture
def start():
    drivers = []

    def start(recipe, log):
        drivers.append(_Driver(recipe, log))
        return drivers[-1]

    yield start
    for process in [p for driver in drivers for p in driver.family()]:
        process.kill()


def test_ten_kills_of_replicas_and_drivers_change_nothing(undisturbed, tmp_path, start):
    config, rows = undisturbed
    recipe, log, config = config.out / RECORD, tmp_path / "log.txt", replace(config, out=tmp_path / "out")
    text = recipe.read_text()
    recipe = tmp_path / "eval.yaml"
    recipe.write_text(text.replace(f"out: {undisturbed[0].out}", f"out: {config.out}"))

    chance = random.Random(0)
    points = sorted(chance.sample(range(4, 2 * ITEMS - 8), KILLS))
    victims = chance.sample(["replica"] * 7 + ["driver", "driver", "Ctrl-C"], KILLS)
    driver = start(recipe, log)
    for point, victim in zip(points, victims, strict=True):
        while _count(config) < point:
            assert driver.process.poll() is None, log.read_text()
            time.sleep(0.02)
        if victim == "replica":
            while not (replicas := driver.replicas()):
                time.sleep(0.05)
            chance.choice(replicas).kill()
            continue
        if victim == "driver":
            driver.process.kill()
            driver.process.wait()
        else:
            os.killpg(driver.process.pid, signal.SIGINT)
            assert driver.process.wait(60) == 130, log.read_text()
        driver.wait_until_gone()
        assert _count(config) < 2 * ITEMS
        # Only a file that is being written can hold half a row.
        for path in _files(config):
            if path.exists() and path.read_bytes().count(b"\n") < ITEMS:
                with path.open("ab") as file:
                    file.write(b'{"key": "torn')
        driver = start(recipe, log)
    assert driver.process.wait(600) == 0, log.read_text()
    driver.wait_until_gone()
    assert _rows(config) == rows
    assert (config.out / "report.html").exists() and "Traceback" not in log.read_text()


def test_a_node_lost_in_mid_run_changes_nothing(undisturbed, tmp_path, monkeypatch):
    import ray
    from ray.cluster_utils import Cluster

    config, rows = undisturbed
    config = replace(config, out=tmp_path / "out", address="auto")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "object_store_memory": 100 << 20})
    try:
        nodes = [cluster.add_node(num_cpus=1, object_store_memory=100 << 20) for _ in range(2)]
        monkeypatch.setenv("RAY_ADDRESS", cluster.address)
        places, lost = set(), []

        def lose_a_node(progress):
            if progress.done >= 12 and not lost:
                alive = [actor for actor in ray._private.state.actors().values() if actor["State"] == "ALIVE"]
                places.update(actor["Address"]["NodeID"] for actor in alive)
                lost.append(nodes[1])
                cluster.remove_node(nodes[1], allow_graceful=False)

        evaluation.run(config, lose_a_node)
        assert len(places) == 2 and lost
        assert _rows(config) == rows
    finally:
        cluster.shutdown()
