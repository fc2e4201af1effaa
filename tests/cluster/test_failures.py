"""Nodes and drivers that die: the work goes on, and the results are the same bits as undisturbed."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import ray
import torch
from ray.cluster_utils import Cluster
from safetensors.torch import load_file, save_file

from lipo.common import sha256_file
from merge import MergeConfig, run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
LIPO = Path(sys.executable).parent / "lipo"
SMALL = {"num_cpus": 1, "object_store_memory": 100 << 20}


@pytest.fixture
def cluster(monkeypatch):
    """A head and another node, each a raylet of its own."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    cluster = Cluster(initialize_head=True, head_node_args=SMALL | {"include_dashboard": False})
    cluster.second = cluster.add_node(**SMALL)
    cluster.wait_for_nodes()
    yield cluster
    ray.shutdown()
    cluster.shutdown()


def test_a_node_lost_in_a_merge(models, tmp_path, cluster):
    experts = {name: models / name for name in ("math", "ocr")}
    config = MergeConfig(base=models / "base", experts=experts, out=tmp_path / "whole", options={"steps": 1500})
    ray.init(address=cluster.address, log_to_driver=False)
    after = []

    def lose_a_node(progress):
        if progress.done == 6 and cluster.second is not None:
            # Both nodes are at work: a task is running on this one.
            cluster.remove_node(cluster.second, allow_graceful=False)
            cluster.second = None
        elif cluster.second is None:
            after.append(progress.done)

    run(config, lose_a_node)
    assert cluster.second is None and len(after) > 10
    end = time.monotonic() + 60
    while sum(node["Alive"] for node in ray.nodes()) > 1:
        assert time.monotonic() < end
        time.sleep(0.2)
    ray.shutdown()
    undisturbed = MergeConfig(
        base=config.base, experts=experts, out=tmp_path / "calm", options={"steps": 1500}, workers=1
    )
    run(undisturbed)
    assert sha256_file(tmp_path / "whole/model.safetensors") == sha256_file(tmp_path / "calm/model.safetensors")


def perturbed(target, seed):
    """An expert: the tiny base, a little changed."""
    shutil.copytree(ROOT / "recipes/tiny/base", target)
    generator = torch.Generator().manual_seed(seed)
    weights = load_file(target / "model.safetensors")
    for name, value in weights.items():
        weights[name] = value + 1e-3 * value.std() * torch.randn(value.shape, generator=generator)
    save_file(weights, target / "model.safetensors", metadata={"format": "pt"})


class Pipeline:
    """A pipeline without trainings: experts are there, the merge and a greedy evaluation are to be done."""

    def __init__(self, folder):
        self.folder = folder
        self.log = folder / "output.txt"
        for seed, name in enumerate(("math", "ocr")):
            perturbed(folder / name, seed)
        subprocess.run(
            [sys.executable, "-m", "recipes.tiny.make_data", "--out", folder / "data",
             "--train=1", "--validation=1", "--test=12"],
            check=True, capture_output=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        (folder / "merge.yaml").write_text(
            "method: amm\nbase: recipes/tiny/base\nexperts: {math: math, ocr: ocr}\n"
            "out: merged\noptions: {steps: 200}\n"
        )
        (folder / "eval.yaml").write_text(
            "title: t\nout: eval\nbaseline: base\nmodels: {base: recipes/tiny/base, merged: merged}\n"
            "benchmarks: {math: {source: data/math_test.parquet, scorer: math}}\n"
            "sampling: {temperature: 0.0, max_tokens: 96}\n"
            "engine: {dtype: float32, max_model_len: 192, max_num_seqs: 1, replicas: 1}\n"
        )
        (folder / "pipeline.yaml").write_text("out: state\ntraining: []\nmerge: merge.yaml\neval: eval.yaml\n")

    def start(self, *overrides):
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
        with self.log.open("ab") as output:
            return subprocess.Popen([LIPO, "run", "pipeline.yaml", *overrides], cwd=self.folder, env=environment,
                                    stdout=output, stderr=output, start_new_session=True)  # fmt: skip

    def kill_when(self, process, condition, seconds=240):
        end = time.monotonic() + seconds
        while not condition():
            assert process.poll() is None, self.log.read_text()[-3000:]
            assert time.monotonic() < end, self.log.read_text()[-3000:]
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def finish(self, process):
        assert process.wait(timeout=400) == 0, self.log.read_text()[-3000:]

    def hashes(self):
        """Of the merged weights, and of every answer whatever the order in which they came."""
        answers = {}
        for model in ("base", "merged"):
            lines = (self.folder / f"eval/answers/{model}/math.jsonl").read_text().splitlines()
            rows = [json.loads(line) for line in lines]
            answers[model] = sorted((row["item"], row["response"], row["tokens"], row["finish"]) for row in rows)
            assert len(answers[model]) == 12
        return sha256_file(self.folder / "merged/model.safetensors"), answers


@pytest.fixture
def calm(tmp_path_factory):
    return Pipeline(tmp_path_factory.mktemp("calm"))


@pytest.fixture
def disturbed(tmp_path_factory):
    return Pipeline(tmp_path_factory.mktemp("disturbed"))


def test_a_merge_whose_driver_and_cluster_die(calm, disturbed, cluster):
    """The pipeline up to the merge; after the head is gone the same command goes on without a cluster."""
    folder = disturbed.folder
    calm.finish(calm.start("eval=null"))
    process = disturbed.start("eval=null", f"address={cluster.address}")
    disturbed.kill_when(process, lambda: any(folder.glob(".merged.*.merging/journal*")) or (folder / "merged").exists())
    assert not (folder / "merged").exists()
    assert json.loads((folder / "state/pipeline.json").read_text())["stages"]["merge (amm)"]["outputs"] == {}

    cluster.shutdown()
    disturbed.finish(disturbed.start("eval=null"))
    weights = [sha256_file(p.folder / "merged/model.safetensors") for p in (calm, disturbed)]
    assert weights[0] == weights[1]
    disturbed.finish(disturbed.start("eval=null"))
    assert disturbed.log.read_text().rstrip().splitlines()[-2] == "merge (amm) unchanged, skipped"


def test_an_evaluation_whose_driver_dies(calm, disturbed):
    calm.finish(calm.start())
    folder = disturbed.folder
    process = disturbed.start()
    answers = folder / "eval/answers/base/math.jsonl"
    disturbed.kill_when(process, lambda: answers.exists() and answers.stat().st_size > 0)
    merged = (folder / "merged/model.safetensors").stat().st_mtime_ns

    disturbed.finish(disturbed.start())
    assert (folder / "merged/model.safetensors").stat().st_mtime_ns == merged, "the merge was skipped"
    assert "merge (amm) unchanged, skipped" in disturbed.log.read_text()
    assert disturbed.hashes() == calm.hashes()

    # Nothing is left to do.
    disturbed.finish(disturbed.start())
    tail = disturbed.log.read_text().rpartition("merge (amm)")[2]
    assert tail.count("unchanged, skipped") == 3
