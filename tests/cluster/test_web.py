"""Models and data on a web server: the standard library's, which lists its folders, and some that do not behave."""

import functools
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from lipo.common import LipoError
from lipo.common.storage import Destination, probe, stage

ROOT = Path(__file__).parents[2]


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def serve(tmp_path, monkeypatch):
    monkeypatch.setenv("LIPO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("no_proxy", "*")
    servers = []

    def start(handler):
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def web(serve, tmp_path):
    (tmp_path / "www").mkdir()
    return tmp_path / "www", serve(functools.partial(Quiet, directory=str(tmp_path / "www")))


def lipo(*words):
    command = [sys.executable, "-m", "lipo.cli", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def test_a_folder_is_copied_once_and_anew_when_it_changed(web):
    folder, url = web
    (folder / "m/sub dir").mkdir(parents=True)
    (folder / "m/a&b.bin").write_bytes(b"1" * 9_000_000)
    (folder / "m/sub dir/ü.txt").write_text("one")
    (folder / "m/empty").write_bytes(b"")
    (folder / "other").write_text("not below it")
    seen = []
    first = stage(f"{url}/m", lambda done, total: seen.append((done, total)))
    assert seen[-1] == (9_000_003, 9_000_003) and len(seen) >= 3
    names = {p.relative_to(first).as_posix() for p in first.rglob("*") if p.is_file()}
    assert names == {"a&b.bin", "sub dir/ü.txt", "empty"}
    assert (first / "a&b.bin").read_bytes() == b"1" * 9_000_000
    assert stage(f"{url}/m/", lambda *_: pytest.fail("read again")) == first
    (folder / "m/sub dir/ü.txt").write_text("two and more")
    second = stage(f"{url}/m")
    assert second != first and (second / "sub dir/ü.txt").read_text() == "two and more"


def test_a_file_keeps_its_name(web):
    folder, url = web
    (folder / "train.jsonl").write_text("{}")
    local = stage(f"{url}/train.jsonl")
    assert local.name == "train.jsonl" and local.read_text() == "{}"


def test_merge_from_the_web(web, models, tmp_path):
    folder, url = web
    (folder / "models").symlink_to(models)
    merging = ("merge", "--method", "average", "--base", f"{url}/models/base", "--experts")
    done = lipo(*merging, f"{url}/models/math", f"{url}/models/ocr", "--out", tmp_path / "merged")
    assert done.returncode == 0, done.stderr
    local = lipo("merge", "--method", "average", "--base", models / "base", "--experts", models / "math",
                 models / "ocr", "--out", tmp_path / "local")  # fmt: skip
    assert local.returncode == 0, local.stderr
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("merged", "local")]
    assert weights[0] == weights[1]

    missed = lipo(*merging, f"{url}/models/none", "--out", tmp_path / "x")
    assert missed.returncode == 2 and f"nothing at {url}/models/none" in missed.stderr
    assert "must be listed by its server" in missed.stderr and not (tmp_path / "x").exists()


def test_a_training_is_refused_before_it_starts(web, tmp_path):
    _, url = web
    for key in ("actor_rollout_ref.model.path", "data.train_files"):
        done = lipo("train", "recipes/tiny/math.yaml", f"{key}={url}/none", f"trainer.default_local_dir={tmp_path}/run")
        assert done.returncode == 2 and f"nothing at {url}/none" in done.stderr
    assert not (tmp_path / "run").exists()


def test_nothing_is_written(web):
    _, url = web
    with pytest.raises(LipoError, match="web servers are only read"):
        Destination(f"{url}/out").claim()


def test_nobody_listens():
    with pytest.raises(LipoError, match=r"cannot read http://127\.0\.0\.1:9/m: .*refused"):
        probe("http://127.0.0.1:9/m")


def answering(code, body=b"", **headers):
    """A handler that answers all requests alike."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(code)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def do_HEAD(self):
            self.do_GET()

        def log_message(self, *_):
            pass

    return Handler


@pytest.mark.parametrize(
    ("handler", "message"),
    [
        (answering(404), "nothing at http://.*/m; correct the URL"),
        (answering(403), "answers 403 Forbidden; only what is public"),
        (answering(500), "answers 500"),
        (answering(200, b"x"), "does not tell the size"),
        (answering(302, Location="file:///etc/passwd"), "redirects to file://|answers 302"),
        (answering(302, Location="ftp://host/x"), "redirects to ftp://"),
        (answering(200, b"<p>Log in</p>", Content_Type="text/html"), "a page without links to files below it"),
    ],
    ids=["404", "403", "500", "no size", "to a file", "to ftp", "a page"],
)
def test_a_server_that_gives_nothing_is_told_with_what_to_do(serve, handler, message):
    with pytest.raises(LipoError, match=message):
        stage(f"{serve(handler)}/m")


def test_links_that_lead_out_of_the_folder_are_not_followed(serve, tmp_path):
    page = b"".join(
        f'<a href="{link}">x</a>'.encode()
        for link in ("good", "../up", "/root", "%2e%2e", "..%2fup", "a%2fb", "a%5cb", "?C=N", "good?x=1", "#top",
                     "http://127.0.0.1:9/m/other", "//127.0.0.1:9/x", "javascript:x", "a%00b")
    )  # fmt: skip
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            listing = self.path in ("/m", "/m/")
            body = page if listing else b"content"
            self.send_response(200)
            self.send_header("Content-Type", "text/html" if listing else "application/octet-stream")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def do_HEAD(self):
            self.do_GET()

        def log_message(self, *_):
            pass

    local = stage(f"{serve(Handler)}/m")
    assert [p.name for p in local.rglob("*")] == ["good"]
    assert set(asked) == {"/m", "/m/", "/m/good"}
