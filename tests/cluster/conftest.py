"""Real Ray on this machine: a head with a dashboard, and clusters of several raylets."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

ROOT = Path(__file__).parents[2]
AUTH_TOKEN = "0123456789abcdef" * 4
BIN = Path(sys.executable).parent
PLANTED = {
    "PLANTED_TOKEN": "tok-5ae1b0c3d2",
    "HF_TOKEN": "hf_plantedplantedplanted",
    "WANDB_API_KEY": "wb-9f8e7d6c5b4a",
}


@pytest.fixture
def models(tmp_path):
    """A base and two experts, of a size that takes a merge a moment."""
    generator = torch.Generator().manual_seed(0)
    base = {f"model.layers.{i}.mlp.up_proj.weight": torch.randn(64, 64, generator=generator) for i in range(24)}
    for number, name in enumerate(("base", "math", "ocr")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps({"model_type": "toy"}))
        change = {k: v + number * 1e-2 * torch.randn(v.shape, generator=generator) for k, v in base.items()}
        save_file(change, tmp_path / name / "model.safetensors", metadata={"format": "pt"})
    return tmp_path


def free_ports(number):
    """So many different ports, all held until the last is found."""
    with contextlib.ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in range(number)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


@pytest.fixture(scope="session")
def head(tmp_path_factory):
    """A head as ``ray start --head`` makes it, on loopback, with planted secrets in its environment."""
    # Ray's sockets have a limit on the length of their path.
    session = Path(tmp_path_factory.mktemp("r", numbered=True))
    port, dashboard, agent, client = free_ports(4)
    # Ray asks for a token by default; ours lies apart from what is searched for secrets, and is one of them.
    token = tmp_path_factory.mktemp("token") / "auth_token"
    token.write_text(AUTH_TOKEN)
    environment = {
        **os.environ,
        **PLANTED,
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AUTH_TOKEN_PATH": str(token),
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    }
    command = [BIN / "ray", "start", "--head", "--block", "--node-ip-address=127.0.0.1", f"--port={port}",
               "--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}", "--include-dashboard=true",
               # Fixed ports otherwise, which another Ray on the machine may hold.
               f"--dashboard-agent-listen-port={agent}", f"--ray-client-server-port={client}",
               "--num-cpus=2", "--object-store-memory=100000000", f"--temp-dir={session}"]  # fmt: skip
    log = (session / "start.txt").open("wb")
    process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    address = f"http://127.0.0.1:{dashboard}"
    try:
        _wait_for(f"{address}/api/version", process, session / "start.txt")
        yield {
            "address": address,
            "session": session,
            "process": process,
            "token": str(token),
            "ports": (port, dashboard),
        }
    finally:
        process.terminate()
        process.wait(timeout=60)


def _wait_for(url, process, log):
    end = time.monotonic() + 120
    while True:
        try:
            urllib.request.urlopen(url, timeout=2)
            return
        except urllib.error.HTTPError as refused:
            assert refused.code in (401, 403)
            return
        except OSError:
            assert process.poll() is None and time.monotonic() < end, log.read_text()[-3000:]
            time.sleep(0.5)
