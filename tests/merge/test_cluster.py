"""A merge on a Ray cluster of several nodes, of which one goes away in the middle."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray
import torch
from ray.cluster_utils import Cluster

from lipo.common import LipoError, sha256_file
from merge import MergeConfig, Progress, run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A head that does no work, and a node of one CPU that says it has a GPU."""
    size = 100 * 2**20
    started = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "object_store_memory": size})
    started.add_node(num_cpus=1, num_gpus=1, object_store_memory=size)
    yield started
    ray.shutdown()
    started.shutdown()


def _config(folder: Path, out: str, **changes) -> MergeConfig:
    experts = {name: folder / name for name in ("a", "b")}
    return MergeConfig(base=folder / "base", experts=experts, out=folder / out, options={"steps": 100}, **changes)


def test_a_node_is_lost_and_the_bits_are_the_same(
    cluster: Cluster, tmp_path: Path, write_model, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = torch.Generator().manual_seed(0)
    base = {f"layers.{i}.weight": torch.randn(64, 64, generator=generator) for i in range(12)}
    write_model(tmp_path / "base", base)
    for name in ("a", "b"):
        write_model(tmp_path / name, {k: v + 1e-3 * torch.randn(v.shape, generator=generator) for k, v in base.items()})
    # "auto" is what users write; on a machine with several clusters this variable says which.
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    lost = cluster.add_node(num_cpus=1, object_store_memory=100 * 2**20)

    def lose(progress: Progress) -> None:
        if progress.done == 3 and lost in cluster.worker_nodes:
            cluster.remove_node(lost, allow_graceful=False)

    run(_config(tmp_path, "cluster", address="auto"), lose)
    assert lost not in cluster.worker_nodes and not ray.is_initialized()
    hashes = {sha256_file(tmp_path / "cluster" / "model.safetensors")}
    for workers in (1, 3):
        out = run(_config(tmp_path, f"threads{workers}", workers=workers))
        hashes.add(sha256_file(out / "model.safetensors"))
    assert len(hashes) == 1
    manifest = json.loads((tmp_path / "cluster" / "manifest.json").read_text())
    assert len(manifest["tensors"]) == 12

    if not torch.cuda.is_available():
        # An actor is placed on the node with the GPU, and says what is wrong there.
        with pytest.raises(LipoError, match="torch sees no GPU on"):
            run(_config(tmp_path, "gpu", address="auto", device="cuda"))
