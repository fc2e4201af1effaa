"""Real Ray on this machine: a head with a dashboard, and clusters of several raylets."""

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

ROOT = Path(__file__).parents[2]
S3_SECRET = "planted-secret-5ae1b0c3d2"
AUTH_TOKEN = "0123456789abcdef" * 4
BIN = Path(sys.executable).parent
PLANTED = {
    "PLANTED_TOKEN": "tok-5ae1b0c3d2",
    "HF_TOKEN": "hf_plantedplantedplanted",
    "WANDB_API_KEY": "wb-9f8e7d6c5b4a",
}


@pytest.fixture(scope="session")
def killed_while_sending():
    """A program: ``lipo …`` that is killed when the weights are sent and the configuration is next."""
    return (
        "import os, signal, sys\n"
        "from lipo.common import _remote\n"
        "from lipo.cli import main\n"
        "write = _remote.Remote.writing\n"
        "def writing(self, name):\n"
        "    if name == 'config.json': os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return write(self, name)\n"
        "_remote.Remote.writing = writing\n"
        "sys.argv = ['lipo', *sys.argv[1:]]\nmain()\n"
    )


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


@contextlib.contextmanager
def _started_head(folders, cpus, gpus=0, memory=100_000_000, **variables):
    """A head as ``ray start --head`` makes it, on loopback, with planted secrets in its environment."""
    # Ray's sockets have a limit on the length of their path, which pytest's folders come too close to.
    session = Path(tempfile.mkdtemp(prefix="r-", dir="/tmp"))
    port, dashboard, agent, client = free_ports(4)
    # Ray asks for a token by default; ours lies apart from what is searched for secrets, and is one of them.
    token = folders.mktemp("token") / "auth_token"
    token.write_text(AUTH_TOKEN)
    environment = {
        **os.environ,
        **PLANTED,
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AUTH_TOKEN_PATH": str(token),
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        **variables,
    }
    command = [BIN / "ray", "start", "--head", "--block", "--node-ip-address=127.0.0.1", f"--port={port}",
               "--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}", "--include-dashboard=true",
               # Fixed ports otherwise, which another Ray on the machine may hold.
               f"--dashboard-agent-listen-port={agent}", f"--ray-client-server-port={client}", f"--num-cpus={cpus}",
               f"--num-gpus={gpus}", f"--object-store-memory={memory}", f"--temp-dir={session}"]  # fmt: skip
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
        shutil.rmtree(session, ignore_errors=True)


@pytest.fixture(scope="session")
def head(tmp_path_factory):
    with _started_head(tmp_path_factory, cpus=2) as started:
        yield started


@pytest.fixture(scope="session")
def started_head():
    """Starts heads of other sizes."""
    return _started_head


@pytest.fixture(scope="session")
def submit():
    """Runs ``lipo submit`` in a folder, against a head."""

    def run(folder, head, *arguments, timeout=300, **variables):
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200", **variables}
        environment["RAY_AUTH_TOKEN_PATH"] = head.get("token", "")
        command = [BIN / "lipo", "submit", *arguments, "--address", head["address"]]
        return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=timeout)

    return run


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


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory):
    """A real S3-compatible server, rclone's, whose objects are files: the bucket's folder, and the endpoint."""
    folder = tmp_path_factory.mktemp("s3")
    (folder / "bucket").mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [Path(sys.executable).parent / "rclone", "serve", "s3", "--config", "/dev/null",
               "--addr", f"127.0.0.1:{port}", "--auth-key", f"AKIDPLANTED,{S3_SECRET}", folder]  # fmt: skip
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert process.poll() is None and time.monotonic() < end
                time.sleep(0.05)
        yield folder / "bucket", f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=30)


@pytest.fixture
def bucket(s3_server, tmp_path, monkeypatch):
    """A place in it for this test, as a folder and as a URL; credentials and cache are in the environment."""
    folder, endpoint = s3_server
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDPLANTED")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", S3_SECRET)
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("LIPO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    # Each test has a place of its own.
    own = folder / re.sub(r"\W", "_", tmp_path.name)
    return own, f"s3://bucket/{own.name}"
