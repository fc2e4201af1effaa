"""Two Ray clusters on one machine: each training sends its weights through a socket of its own. Real Ray."""

import json
import os
import subprocess
import sys

import pytest

from lipo.verl_plugin import compat

TRAINING = """
import json, os, types, ray
from pathlib import Path
from lipo.common.local_ray import local_ray

class ServerAdapter:
    # As verl/workers/rollout/vllm_rollout/vllm_rollout.py:140.
    def __init__(self, replica_rank):
        job_id = ray.get_runtime_context().get_job_id()
        self.zmq_handle = f"ipc:///tmp/rl-colocate-zmq-{job_id}-replica-{replica_rank}-rank-0.sock"

class vLLMHttpServer:
    # As vllm_async_server.py:143; vLLM's worker then does what utils.py:425 does.
    def __init__(self):
        os.environ["VERL_RAY_JOB_ID"] = ray.get_runtime_context().get_job_id()

    def zmq_handle(self, replica_rank):
        job_id = os.environ.get("VERL_RAY_JOB_ID", "0")
        return f"ipc:///tmp/rl-colocate-zmq-{job_id}-replica-{replica_rank}-rank-0.sock"

def patched():
    from lipo.verl_plugin import compat
    import verl
    file = str(Path(verl.__file__).parent / "workers/rollout/vllm_rollout/__init__.py")
    compat._keep_senders_apart(types.SimpleNamespace(__file__=file, ServerAdapter=ServerAdapter))
    compat._keep_receivers_apart(types.SimpleNamespace(__file__=file, vLLMHttpServer=vLLMHttpServer))

@ray.remote(num_cpus=0)
class Worker:
    def handle(self):
        patched()
        return ServerAdapter(replica_rank=1).zmq_handle

@ray.remote(num_cpus=0)
class Server:
    def handle(self):
        patched()
        return vLLMHttpServer().zmq_handle(replica_rank=1)

with local_ray(num_cpus=1, object_store_memory=100 << 20):
    ends = ray.get([Worker.remote().handle.remote(), Server.remote().handle.remote()])
    print(json.dumps([ray.get_runtime_context().get_job_id(), *ends]), flush=True)
"""


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_both_ends_agree_and_no_two_clusters_do():
    environment = os.environ | {"RAY_USAGE_STATS_ENABLED": "0"}
    found = []
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", TRAINING], capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr[-3000:]
        found.append(json.loads(done.stdout.splitlines()[-1]))
    (job, sender, receiver), (other_job, other_sender, _) = found
    assert job == other_job  # why verl's own names are the same
    assert sender == receiver != other_sender
    path = sender.removeprefix("ipc://")
    assert path.startswith(f"/tmp/rl-colocate-zmq-{job}-") and path.endswith("-replica-1-rank-0.sock")
    assert len(path) < 100


BOTH_ENDS = """
import warnings
warnings.filterwarnings("error", message="lipo")
import lipo.verl_plugin
from verl.workers.rollout.vllm_rollout.vllm_async_server import vLLMHttpServer
from verl.workers.rollout.vllm_rollout.vllm_rollout import ServerAdapter
print(ServerAdapter.__init__.__module__, vLLMHttpServer.__init__.__module__)
"""


@pytest.mark.timeout(120)
def test_verl_names_them_as_the_correction_expects():
    environment = os.environ | {"VERL_PLATFORM": "cpu"}
    done = subprocess.run([sys.executable, "-c", BOTH_ENDS], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines()[-1].split() == [compat.__name__, compat.__name__]


def test_another_verl_is_left_alone(tmp_path):
    class ServerAdapter:
        pass

    for name in compat._SOCKET_NAMES:
        (tmp_path / name).write_text("job_id = something()\n")
    module = type("module", (), {"__file__": str(tmp_path / "vllm_rollout.py"), "ServerAdapter": ServerAdapter})
    before = ServerAdapter.__init__
    with pytest.warns(UserWarning, match="may wait for each other's weights"):
        compat._keep_senders_apart(module)
    assert ServerAdapter.__init__ is before
