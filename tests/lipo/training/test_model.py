"""A model's name is asked of the Hub's own client, here against a server on this machine."""

import os
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from lipo.common import LipoError
from lipo.training.model import require_model

ROOT = Path(__file__).parents[3]


@pytest.fixture
def hub():
    """A Hub that has one model, and another that only its owner may read."""

    class Hub(BaseHTTPRequestHandler):
        def do_HEAD(self):
            public = self.path == "/owner/model/resolve/main/config.json"
            self.send_response(200 if public else 403 if "/gated/" in self.path else 404)
            if not public:
                self.send_header("X-Error-Message", "not for you" if "/gated/" in self.path else "not found")
            self.send_header("ETag", '"1"')
            self.send_header("X-Repo-Commit", "0" * 40)
            self.send_header("Content-Length", "2")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def ask(name, folder, **variables):
    """In a process of its own: the Hub's client reads its settings when it is imported."""
    code = "import sys; from lipo.training.model import require_model; require_model(sys.argv[1], 'model.path')"
    environment = {k: v for k, v in os.environ.items() if not k.startswith("HF_")} | {"PYTHONPATH": str(ROOT)}
    environment |= {"HF_HOME": str(folder / "home"), **variables}
    command = [sys.executable, "-c", code, name]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)


def test_a_name_of_the_hub_is_taken(hub, tmp_path):
    done = ask("owner/model", tmp_path, HF_ENDPOINT=hub)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["owner/nodel", "nowhere", "gated/model", "models/Qwen"])
def test_one_that_the_hub_does_not_give_is_refused(hub, tmp_path, name):
    done = ask(name, tmp_path, HF_ENDPOINT=hub)
    message = done.stderr.splitlines()[-1]
    assert f"LipoError: no model at {name} (model.path): no such directory, and the Hugging Face Hub says: " in message
    assert "40" in message and "hf download" in message


@pytest.mark.parametrize("variables", [{"HF_ENDPOINT": "http://127.0.0.1:9"}, {"HF_HUB_OFFLINE": "1"}])
def test_without_a_network_only_the_cache_has_names(tmp_path, variables):
    done = ask("owner/model", tmp_path, **variables)
    assert "LipoError: no model at owner/model" in done.stderr.splitlines()[-1]
    repository = tmp_path / "home/hub/models--owner--model"
    for file, text in (("refs/main", "0" * 40), (f"snapshots/{'0' * 40}/config.json", "{}")):
        (repository / file).parent.mkdir(parents=True)
        (repository / file).write_text(text)
    assert ask("owner/model", tmp_path, **variables).returncode == 0


@pytest.mark.parametrize("path", ["./x", "/x/y", "~/x", "a/b/c", "runs/x", "recipes/tiny/none", "here/x", "empty"])
def test_what_is_meant_as_a_path_is_not_asked_of_the_hub(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    for folder in ("here", "empty"):
        (tmp_path / folder).mkdir()
    with pytest.raises(LipoError, match=r"no model at .* \(k\); give a Hugging Face directory"):
        require_model(path, "k")


def test_a_directory_and_what_verl_reads_itself_pass(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models/a").mkdir(parents=True)
    (tmp_path / "models/a/config.json").write_text("{}")
    require_model("models/a", "k")
    require_model("hdfs://host/model", "k")
