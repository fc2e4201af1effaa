"""Two trainings on one Ray cluster: each has a queue of rollouts of its own. Real Ray, real TransferQueue."""

import subprocess
import sys

import pytest
from ray.cluster_utils import Cluster

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

TRAINING = """
import sys, ray
ray.init(address=sys.argv[1], log_to_driver=False)
import lipo.verl_plugin
import transfer_queue as tq
from transfer_queue import interface

@ray.remote(num_cpus=0)
class Worker:
    def queue(self):
        import lipo.verl_plugin
        import transfer_queue as tq
        from transfer_queue import interface
        tq.init()
        return interface._TQ_CONTROLLER._actor_id.hex()

small = {"backend": {"SimpleStorage": {"num_data_storage_units": 1, "total_storage_size": 100}}}
from omegaconf import OmegaConf
tq.init(OmegaConf.create(small))
own = interface._TQ_CONTROLLER._actor_id.hex()
assert ray.get(Worker.remote().queue.remote()) == own
print("queue", own, flush=True)
assert sys.stdin.readline() == "go on\\n"
assert ray.get(interface._TQ_CONTROLLER.get_config.remote()) is not None
tq.close()
print("closed", flush=True)
"""


def test_each_has_its_own_and_closes_no_other(monkeypatch):
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    node = {"num_cpus": 4, "object_store_memory": 100 << 20, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=node)
    trainings = []
    try:
        for _ in range(2):
            command = [sys.executable, "-c", TRAINING, cluster.address]
            trainings.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        queues = [training.stdout.readline().split()[-1] for training in trainings]
        assert len(set(queues)) == 2
        for training in trainings:
            out, _ = training.communicate("go on\n", timeout=120)
            assert training.returncode == 0 and "closed" in out
    finally:
        for training in trainings:
            training.kill()
        cluster.shutdown()
