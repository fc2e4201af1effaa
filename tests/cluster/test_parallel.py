"""How many trainings a real cluster of several raylets has room for; its GPUs are declared, nothing runs on them."""

from pathlib import Path

import pytest
import ray
from ray.cluster_utils import Cluster

from lipo.cli._stages import read_recipes
from lipo.cli.run import _slots, read_pipeline
from lipo.common import LipoError

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

PIPELINE = Path(__file__).parents[2] / "recipes/qwen2_5_vl_3b/pipeline.yaml"


def test_as_many_as_there_are_gpus_for(monkeypatch):
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    node = {"num_cpus": 1, "num_gpus": 8, "object_store_memory": 100 << 20}
    cluster = Cluster(initialize_head=True, head_node_args=node | {"include_dashboard": False})
    try:
        cluster.add_node(**node)
        cluster.wait_for_nodes()
        address = cluster.address

        def slots(*overrides):
            recipes = read_recipes(read_pipeline(PIPELINE, [f"address={address}", *overrides]))
            assert {str(t.ray_kwargs.ray_init.address) for t in recipes.trainings} == {address}
            return _slots(address, recipes.trainings)

        assert slots("profile=8x80gb") == 2
        assert slots("profile=2x8") == 1
        assert slots("profile=1x80gb") == 3
        assert not ray.is_initialized()
    finally:
        cluster.shutdown()
    assert _slots(None, read_recipes(read_pipeline(PIPELINE, [])).trainings) == 1
    with pytest.raises(LipoError, match="no Ray cluster at"):
        slots("profile=8x80gb")
