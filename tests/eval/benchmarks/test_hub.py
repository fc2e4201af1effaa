"""Datasets by name, with the real clients of the Hub, from a server on this machine that speaks its interface."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import datasets
import pytest

from eval import BenchmarkConfig
from eval.benchmarks.fetch import fetch_benchmark
from eval.sources import read_items

ROOT = Path(__file__).parents[3]
COMMIT = "c" * 40
CARD = b"""---
configs:
- config_name: testmini
  data_files: [{split: testmini, path: testmini.parquet}]
- config_name: other
  data_files: [{split: train, path: other.jsonl}]
---
"""


class Hub(ThreadingHTTPServer):
    """Serves ``files``: dataset → path → bytes."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = {}
        self.damaged = set()
        """Paths whose bytes do not arrive as they were published."""


class Handler(BaseHTTPRequestHandler):
    """Dataset information, the list of files, and the files, whole or in part."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        url = urlsplit(self.path)
        words = url.path.strip("/").split("/")
        words = words[1:] if words[0] == "api" else words
        files = self.server.files.get("/".join(words[1:3])) if words[0] == "datasets" else None
        if files is None:
            self._send(b"", 404, {"X-Error-Code": "RepoNotFound"})
        elif words[3:4] == ["tree"]:
            found = _tree(files, "/".join(words[5:]), parse_qs(url.query).get("recursive") == ["true"])
            self._send(json.dumps(found).encode())
        elif words[3:4] == ["resolve"]:
            self._send_file(files, "/".join(words[5:]))
        else:
            self._send(json.dumps(_information("/".join(words[1:3]), files)).encode())

    def _send_file(self, files, path):
        if path not in files:
            self._send(b"", 404, {"X-Error-Code": "EntryNotFound"})
            return
        data = files[path]
        headers = {"ETag": f'"{_blob(data)}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        if path in self.server.damaged:
            data = data[::-1]
        status, asked = 200, self.headers.get("Range")
        if asked:
            first, _, last = asked.removeprefix("bytes=").partition("-")
            start, stop = int(first), int(last or len(data) - 1) + 1
            headers["Content-Range"] = f"bytes {start}-{min(stop, len(data)) - 1}/{len(data)}"
            status, data = 206, data[start:stop]
        self._send(data, status, headers)

    def _send(self, data, status=200, headers=()):
        self.send_response(status)
        for name, value in dict(headers).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


def _blob(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def _information(name, files):
    """As the Hub has it: tables are large files, with a SHA-256, the rest is git's."""
    siblings = []
    for path, data in files.items():
        large = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
        more = {"lfs": large} if path.endswith(".parquet") else {}
        siblings.append({"rfilename": path, "size": len(data), "blobId": _blob(data), **more})
    return {"id": name, "sha": COMMIT, "private": False, "siblings": siblings}


def _tree(files, folder, recursive):
    found, prefix = {}, f"{folder}/" if folder else ""
    for path, data in files.items():
        if not path.startswith(prefix):
            continue
        inner, _, deeper = path.removeprefix(prefix).partition("/")
        if deeper:
            found[prefix + inner] = {"type": "directory", "path": prefix + inner, "oid": "1" * 40}
        if not deeper or recursive:
            found[path] = {"type": "file", "path": path, "size": len(data), "oid": _blob(data)}
    return list(found.values())


@pytest.fixture
def hub():
    server = Hub()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def run(hub, tmp_path):
    """Run Python against the server, in a process whose cache is empty: the clients read their settings on import."""

    def run(code, *arguments):
        settings = {"HF_ENDPOINT": f"http://127.0.0.1:{hub.server_port}", "HF_HOME": str(tmp_path / "cache")}
        environment = os.environ | settings | {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "0"}
        command = [sys.executable, "-c", code, *map(str, arguments)]
        return subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)

    return run


def _parquet(folder, rows):
    data = datasets.Dataset.from_list([{**row, "image": {"bytes": image, "path": None}} for row, image in rows])
    data.cast_column("image", datasets.Image()).to_parquet(folder / "rows.parquet")
    return (folder / "rows.parquet").read_bytes()


READ = """
import json, sys
from eval import BenchmarkConfig
from eval.sources import read_items
from lipo.common import LipoError
for name, options in json.loads(sys.argv[1]):
    try:
        items = read_items(name, BenchmarkConfig(**options))
        print(json.dumps([[i.question, i.ground_truth, i.scorer, [b.decode() for b in i.images]] for i in items]))
    except LipoError as error:
        print(json.dumps([error.what, error.fix]))
"""


def test_questions_are_read_by_the_datasets_name(hub, run, tmp_path):
    quiz = _parquet(tmp_path, [({"question": f"{i}+1?", "answer": str(i + 1)}, b"png%d" % i) for i in range(3)])
    verse = {"question": "Find x.", "question_type": "free-form", "answer": "3", "problem_version": "Text Lite"}
    hub.files = {
        "owner/quiz": {"data/test-00000-of-00001.parquet": quiz, "README.md": b"# quiz"},
        "owner/code": {"data/test-00000-of-00001.parquet": quiz, "code.py": b"raise SystemExit"},
        "owner/verse": {
            "testmini.parquet": _parquet(tmp_path, [(verse, b"x")]),
            "other.jsonl": b"{}",
            "README.md": CARD,
        },
    }
    cases = [
        ("quiz", {"hub": "owner/quiz", "limit": 2}),
        ("verse", {"hub": "owner/verse", "declaration": "mathverse"}),
        ("quiz", {"hub": "owner/quiz", "split": "train"}),
        ("quiz", {"hub": "owner/none"}),
        ("quiz", {"hub": "owner/code"}),
    ]
    done = run(READ, json.dumps(cases))
    assert done.returncode == 0, done.stderr
    few, declared, no_split, unknown, script = map(json.loads, done.stdout.splitlines())
    assert [(row[1:]) for row in few] == [["1", "short_answer", ["png0"]], ["2", "short_answer", ["png1"]]]
    assert few[0][0].startswith("<image>0+1?\n") and declared[0][1:] == ["3", "math", ["x"]]
    assert no_split == ["owner/quiz has no split 'train'", "set 'split' to one of test"]
    assert "cannot read the dataset owner/none" in unknown[0] and "check the name and the network" in unknown[1]
    assert "scripts are no longer supported" in script[0], "nothing of a dataset is run"


FETCH = "from lipo.cli import main; main()"


def test_a_declared_benchmark_is_fetched_with_the_hubs_checksums(hub, run, tmp_path):
    files = {
        "data/test.jsonl": b'{"question": "1+1?", "answer": "2"}\n',
        "data/test-1.parquet": _parquet(tmp_path, [({"question": "1+2?", "answer": "3"}, b"png")]),
        "quiz.py": b"raise SystemExit",
        "README.md": b"# quiz",
    }
    hub.files, hub.damaged = {"owner/quiz": files}, {"data/test-1.parquet"}
    declared = {"title": "t", "about": "a", "prompt": "{{ question }}", "scorers": [{"use": "math"}]}
    (tmp_path / "quiz.yaml").write_text(json.dumps(declared | {"hub": {"name": "owner/quiz", "split": "test"}}))
    words = ["data", "fetch", "quiz.yaml", "--data-dir", "data", "--from", "hub"]
    folder = tmp_path / "data" / "owner" / "quiz"

    done = run(FETCH, *words)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "test-1.parquet of the dataset owner/quiz has the checksum" in done.stderr
    assert not (folder / "SHA256SUMS").exists() and not (folder / "data" / "test-1.parquet").exists()

    hub.damaged = set()
    done = run(FETCH, *words)
    assert (done.returncode, done.stdout) == (0, "quiz.yaml: data/owner/quiz\n"), done.stderr
    wanted = {path: data for path, data in files.items() if path != "quiz.py"}
    there = [p for p in folder.rglob("*") if p.is_file() and ".cache" not in p.parts and p.name != "SHA256SUMS"]
    assert {str(path.relative_to(folder)): path.read_bytes() for path in there} == wanted, "scripts are not wanted"
    check = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=folder, capture_output=True, check=False)
    assert check.returncode == 0

    again = fetch_benchmark(str(tmp_path / "quiz.yaml"), tmp_path / "data", "hub")
    assert again == folder, "what is there whole is not fetched again: this process knows no such server"
    (folder / "data" / "test-1.parquet").unlink()
    (item,) = read_items("quiz", BenchmarkConfig(folder, declaration="generic"))
    assert item.ground_truth == "2"


def test_an_unknown_dataset_cannot_be_fetched(run):
    code = (
        "from pathlib import Path; from eval.benchmarks.fetch import fetch_dataset as f; f('owner/none', Path('none'))"
    )
    done = run(code)
    assert "LipoError: cannot download the dataset owner/none" in done.stderr
