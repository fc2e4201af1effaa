"""Downloads from a real HTTP server on this machine, which breaks off, refuses and changes its files on demand."""

import hashlib
import json
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from eval.benchmarks import fetch as fetching
from eval.benchmarks.fetch import fetch_benchmark, fetch_file
from lipo.common import LipoError

ROOT = Path(__file__).parents[3]
DATA = bytes(range(256)) * 12_000
MD5 = hashlib.md5(DATA).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves ``data`` under any name."""

    daemon_threads = True
    data, tag, ranges = DATA, '"one"', True
    break_after = None
    """Bytes after which the next response ends early, once."""
    refusals = ()
    """Statuses of the next responses."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked = []

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        server = self.server
        server.asked.append((self.path, self.headers.get("Range")))
        if server.refusals:
            status, *server.refusals = server.refusals
            self.send_error(status)
            return
        data, start = server.data, 0
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        if asked and server.ranges and self.headers.get("If-Range") in (None, server.tag):
            start = int(asked.group(1))
            if start >= len(data):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(data)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(data) - start))
        if server.tag:
            self.send_header("ETag", server.tag)
        self.end_headers()
        stop, server.break_after = server.break_after, None
        self.wfile.write(data[start:] if stop is None else data[start : start + stop])


@pytest.fixture
def server():
    server = Server()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(fetching.time, "sleep", lambda _: None)


def _names(folder):
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


def test_a_file_with_its_checksum(server, tmp_path):
    seen = []
    target = fetch_file(f"{server.url}/x.tsv", tmp_path / "sub" / "x.tsv", MD5, lambda *at: seen.append(at))
    assert target.read_bytes() == DATA
    assert seen[-1] == (len(DATA), len(DATA)) and [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert _names(target.parent) == ["x.tsv", "x.tsv.sha256"]
    check = subprocess.run(["sha256sum", "-c", "x.tsv.sha256"], cwd=target.parent, capture_output=True, check=False)
    assert check.returncode == 0
    fetch_file(f"{server.url}/x.tsv", target, MD5)
    assert len(server.asked) == 1, "what is there is not fetched again"


def test_a_broken_connection_continues_where_it_broke(server, tmp_path):
    server.break_after = 1_000_000
    target = fetch_file(f"{server.url}/x", tmp_path / "x", MD5)
    assert target.read_bytes() == DATA
    assert [asked for _, asked in server.asked] == [None, "bytes=1000000-"]


def test_a_killed_download_leaves_nothing_that_looks_right_and_continues(server, tmp_path):
    code = (
        "import os, sys; from pathlib import Path; from eval.benchmarks import fetch\n"
        "fetch._BLOCK = 100_000\n"
        "stop = lambda done, _: done > 900_000 and os.kill(os.getpid(), 9)\n"
        "fetch.fetch_file(sys.argv[1], Path(sys.argv[2]), None, stop)"
    )
    command = [sys.executable, "-c", code, f"{server.url}/x", str(tmp_path / "x")]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == -9
    assert not (tmp_path / "x").exists()
    fetch_file(f"{server.url}/x", tmp_path / "x", MD5)
    assert (tmp_path / "x").read_bytes() == DATA
    assert re.fullmatch(r"bytes=[89]\d{5}-|bytes=10\d{5}-", server.asked[1][1])


def test_a_file_that_changed_meanwhile_is_fetched_anew(server, tmp_path):
    (tmp_path / ".x.part").write_bytes(b"half of an older version")
    (tmp_path / ".x.part.json").write_text(json.dumps({"url": f"{server.url}/x", "tag": '"older"'}))
    assert fetch_file(f"{server.url}/x", tmp_path / "x", MD5).read_bytes() == DATA
    assert [asked for _, asked in server.asked] == ["bytes=24-"]


@pytest.mark.parametrize(("tag", "ranges"), [('W/"weak"', True), (None, True), ('"one"', False)])
def test_without_a_way_to_continue_it_starts_again(server, tmp_path, tag, ranges):
    server.tag, server.ranges, server.break_after = tag, ranges, 300_000
    assert fetch_file(f"{server.url}/x", tmp_path / "x", MD5).read_bytes() == DATA


def test_a_wrong_checksum_leaves_nothing(server, tmp_path):
    with pytest.raises(LipoError, match="has the MD5") as error:
        fetch_file(f"{server.url}/x", tmp_path / "x", "0" * 32)
    assert MD5 in error.value.what
    assert _names(tmp_path) == []


def test_passing_trouble_is_sat_out_and_lasting_trouble_is_said(server, tmp_path):
    server.refusals = [503, 429]
    fetch_file(f"{server.url}/x", tmp_path / "x", MD5)
    server.refusals = [404]
    with pytest.raises(LipoError, match="404"):
        fetch_file(f"{server.url}/y", tmp_path / "y")
    assert len(server.asked) == 4
    server.refusals = [500] * 9
    with pytest.raises(LipoError, match="the same command continues"):
        fetch_file(f"{server.url}/z", tmp_path / "z")


def test_a_download_that_was_whole_when_the_connection_broke(server, tmp_path):
    (tmp_path / ".x.part").write_bytes(DATA)
    (tmp_path / ".x.part.json").write_text(json.dumps({"url": f"{server.url}/x", "tag": server.tag}))
    assert fetch_file(f"{server.url}/x", tmp_path / "x", MD5).read_bytes() == DATA


def test_a_file_that_was_tampered_with_is_fetched_again(server, tmp_path):
    target = fetch_file(f"{server.url}/x", tmp_path / "x", MD5)
    target.write_bytes(b"other")
    assert fetch_file(f"{server.url}/x", target, MD5).read_bytes() == DATA


def test_a_users_own_file_is_never_overwritten(server, tmp_path):
    (tmp_path / "x").write_bytes(b"mine")
    with pytest.raises(LipoError, match="is not the published file"):
        fetch_file(f"{server.url}/x", tmp_path / "x", MD5)
    assert (tmp_path / "x").read_bytes() == b"mine" and server.asked == []


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://x/y", "x"])
def test_only_the_web_is_fetched_from(url, tmp_path):
    with pytest.raises(LipoError, match="cannot download"):
        fetch_file(url, tmp_path / "x")


def _declare(path, **places):
    declared = {"title": "t", "about": "a", "prompt": "{{ question }}", "scorers": [{"use": "math"}], **places}
    path.write_text(json.dumps(declared))
    return str(path)


def test_a_declared_benchmark(server, tmp_path):
    name = _declare(tmp_path / "b.yaml", tsv={"file": "B.tsv", "url": f"{server.url}/B.tsv", "md5": MD5})
    assert fetch_benchmark(name, tmp_path / "data") == tmp_path / "data" / "B.tsv"
    with pytest.raises(LipoError, match="no hub download"):
        fetch_benchmark(name, tmp_path / "data", "hub")
    with pytest.raises(LipoError, match="no download is declared for 'generic'"):
        fetch_benchmark("generic", tmp_path)


def test_the_command(server, tmp_path):
    name = _declare(tmp_path / "b.yaml", tsv={"file": "B.tsv", "url": f"{server.url}/B.tsv", "md5": MD5})
    words = ["data", "fetch", name, "--data-dir", str(tmp_path / "data")]
    command = [sys.executable, "-c", "from lipo.cli import main; main()", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"{name}: {tmp_path / 'data' / 'B.tsv'}\n"), done.stderr
    server.data = b"other"
    (tmp_path / "data" / "B.tsv").unlink()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "not " + MD5 in done.stderr and "Traceback" not in done.stderr
