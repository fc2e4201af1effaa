import atexit
import os
import shutil

import pytest
import torch
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

# A busy machine must not fail a test by being slow; 50 examples keep the suite quick.
settings.register_profile("lipo", deadline=None, max_examples=50)
settings.load_profile("lipo")
torch.set_num_threads(1)

if worker := os.environ.get("PYTEST_XDIST_WORKER"):
    # Two of pytest's workers must not find each other's clusters, which Ray looks up in its temporary directory. Its
    # name is short, as the path of a Unix socket is.
    os.environ["RAY_TMPDIR"] = f"/tmp/lipo-{worker}-{os.getpid()}"
    atexit.register(shutil.rmtree, os.environ["RAY_TMPDIR"], ignore_errors=True)
    # Each its share of the cores: threads that wait by spinning, or are bound to the same core, slow both down.
    workers = int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    os.environ["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // workers))
    os.environ["VLLM_CPU_OMP_THREADS_BIND"] = "nobind"


class _ByModule(LoadScopeScheduling):
    """A module's tests on one worker, for its fixtures; those with clusters all on one, for Ray's fixed ports."""

    def _split_scope(self, nodeid: str) -> str:
        module = nodeid.split("::", 1)[0]
        return "tests/cluster" if module.startswith("tests/cluster/") else module


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    return _ByModule(config, log)
