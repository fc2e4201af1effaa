"""The plug-in on a Ray cluster of two nodes, and beside verl's own tests."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def cluster():
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    cluster.add_node(num_cpus=1, resources={"trainer": 1})
    ray.init(address=cluster.address, log_to_driver=False)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


def test_a_trainer_on_the_second_node_knows_the_estimators(cluster):
    """verl's trainer is an actor on any node: what the driver imported does not come along."""
    import ray

    @ray.remote(resources={"trainer": 1})
    class Trainer:
        def look(self):
            import sys

            before = "lipo.estimators" in sys.modules
            import numpy as np
            import torch
            from verl.trainer.ppo.core_algos import get_adv_estimator_fn

            rewards, mask = torch.tensor([[0.0, 1.0], [1.0, 0.0]]), torch.tensor([[1, 1], [1, 0]])
            index = np.array(["a", "a"], dtype=object)
            advantages, _ = get_adv_estimator_fn("lipo")(
                token_level_rewards=rewards, response_mask=mask, index=index, config=None
            )
            return ray.get_runtime_context().get_node_id(), before, advantages.tolist()

    node, before, advantages = ray.get(Trainer.remote().look.remote())
    assert node != ray.get_runtime_context().get_node_id()
    assert not before
    # Both are right; the shorter one is worth more, the longer less.
    assert advantages[1][0] > 0 > advantages[0][0]


def test_verls_own_estimator_tests_still_pass(tmp_path):
    """The wheel carries them; they are copied, for the checkout's ``tests`` must not shadow theirs."""
    theirs = Path(importlib.util.find_spec("verl").origin).parents[1] / "tests" / "trainer"
    files = [
        *(theirs / "ppo").glob("test_*_on_cpu.py"),
        theirs / "ppo" / "test_rollout_corr.py",
        theirs / "test_multi_trajectories_advantage_on_cpu.py",
    ]
    names = {file.name for file in files}
    assert {"test_core_algos_on_cpu.py", "test_multi_trajectories_advantage_on_cpu.py"} <= names
    for file in files:
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "conftest.py").write_text(
        "import verl.trainer.ppo.core_algos as core\nassert 'lipo' in core.ADV_ESTIMATOR_REGISTRY\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--import-mode=importlib", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
    assert " passed" in done.stdout.splitlines()[-1]
