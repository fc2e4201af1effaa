"""Models and data in a real S3-compatible server, rclone's, whose objects are files that the tests can look at.

They are put there through the server, which would not notice a file made behind its back.
"""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from lipo.common import LipoError
from lipo.common._remote import Remote
from lipo.common.storage import MARKER, Destination, require_local, stage, url_of


def put(url, content):
    folder, _, name = url.rpartition("/")
    with Remote(folder).writing(name) as stream:
        stream.write(content)


@pytest.fixture
def remote_models(models, bucket):
    """Base and experts in the bucket, and their local copies."""
    folder, url = bucket
    for name in ("base", "math", "ocr"):
        for file in (models / name).iterdir():
            put(f"{url}/{name}/{file.name}", file.read_bytes())
    return folder, url, models


def lipo(*words, **more):
    command = [sys.executable, "-m", "lipo.cli", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **more)


def merging(url, out):
    return ("merge", "--method", "average", "--base", f"{url}/base", "--experts", f"{url}/math", f"{url}/ocr",
            "--out", out)  # fmt: skip


def hashes(folder):
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.glob("*.safetensors")}


class TestUrls:
    @pytest.mark.parametrize("place", ["s3://b/models/x", Path("s3://b/models/x/"), "S3://b/models/x"])
    def test_are_told_from_paths_also_as_paths(self, place):
        assert url_of(place) == "s3://b/models/x"

    @pytest.mark.parametrize("place", ["runs/a", "/runs/a", "C:/a", Path("a:b"), "file:///a", "owner/name"])
    def test_local_paths_are_none(self, place):
        assert url_of(place) is None
        require_local(place, "out")

    @pytest.mark.parametrize("url", ["s3://me:hunter22@b/x", "https://h/x?X-Amz-Signature=abc", "s3://b/../x"])
    def test_credentials_and_climbing_are_refused_without_showing_them(self, url):
        with pytest.raises(LipoError) as caught:
            url_of(url)
        assert "hunter22" not in str(caught.value) and "abc" not in str(caught.value)

    def test_a_file_url_is_a_path(self):
        assert stage("file:///a/b") == stage(Path("file:///a/b")) == Path("/a/b")

    @pytest.mark.parametrize(
        ("url", "what", "fix"),
        [
            ("nosuch://a/b", "nothing is known of the scheme nosuch://", "use s3://"),
            ("s4://a/b", "nothing is known of the scheme s4://", "did you mean s3://"),
            ("gs://a/b", "gs:// needs a further package", "pip install gcsfs"),
            ("abfs://a/b", "abfs:// needs a further package", "pip install adlfs"),
            ("sftp://a/b", "paramiko", "install the package that it names"),
        ],
    )
    def test_a_scheme_that_cannot_be_is_named_with_what_to_do(self, url, what, fix):
        with pytest.raises(LipoError) as caught:
            stage(url)
        assert url in caught.value.what and what in caught.value.what and fix in caught.value.fix


class TestStaging:
    def test_a_folder_is_copied_once_and_anew_when_it_changed(self, bucket):
        _, url = bucket
        put(f"{url}/m/a.bin", b"1" * 9_000_000)
        put(f"{url}/m/sub/b.txt", b"one")
        seen = []
        first = stage(f"{url}/m", lambda done, total: seen.append((done, total)))
        assert seen[-1] == (9_000_003, 9_000_003) and len(seen) >= 3
        assert (first / "a.bin").read_bytes() == b"1" * 9_000_000 and (first / "sub/b.txt").read_text() == "one"
        assert first.name.startswith("m@")
        assert stage(f"{url}/m", lambda *_: pytest.fail("read again")) == first
        put(f"{url}/m/sub/b.txt", b"two")
        second = stage(f"{url}/m")
        assert second != first and (second / "sub/b.txt").read_text() == "two"

    def test_a_file_keeps_its_name(self, bucket):
        _, url = bucket
        put(f"{url}/train.jsonl", b"{}")
        local = stage(f"{url}/train.jsonl")
        assert local.name == "train.jsonl" and local.read_text() == "{}"

    def test_an_interrupted_copy_continues_with_the_next_file(self, bucket, tmp_path):
        _, url = bucket
        for name in "abc":
            put(f"{url}/m/{name}", name.encode() * 5_000_000)

        def interrupt(done, _):
            if done > 5_000_000:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            stage(f"{url}/m", interrupt)
        assert not [p for p in (tmp_path / "cache").rglob("m@*") if not p.name.startswith(".")]
        counted = []
        local = stage(f"{url}/m", lambda done, _: counted.append(done))
        assert counted[0] > 5_000_000  # a was there
        assert sorted(p.name for p in local.iterdir()) == ["a", "b", "c"]

    def test_one_that_changes_meanwhile_is_refused(self, bucket, tmp_path):
        _, url = bucket
        put(f"{url}/m/a", b"before")
        with pytest.raises(LipoError, match="changed while it was read"):
            stage(f"{url}/m", lambda *_: put(f"{url}/m/a", b"behind"))
        assert not list((tmp_path / "cache").rglob("a"))

    def test_one_that_is_not_there_is_told_before_the_first_is_copied(self, bucket, tmp_path):
        from lipo.cli._storage import require_there

        _, url = bucket
        put(f"{url}/m/a", b"1")
        require_there(["runs/local", f"{url}/m", f"{url}/m/a", "hdfs://left/to/verl"])
        with pytest.raises(LipoError, match=r"nothing at s3://bucket/.*/none"):
            require_there([f"{url}/m", f"{url}/none"])
        words = ("merge", "--base", f"{url}/m", "--experts", f"{url}/none", "--out", tmp_path / "out")
        done = lipo(*words)
        assert done.returncode == 2 and f"nothing at {url}/none" in done.stderr
        assert not (tmp_path / "cache").exists()

    def test_nothing_there(self, bucket):
        with pytest.raises(LipoError, match="nothing at s3://bucket"):
            stage(f"{bucket[1]}/none")

    def test_refused_credentials_are_said_and_not_shown(self, bucket, monkeypatch):
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another-secret")
        with pytest.raises(LipoError, match="cannot read s3://bucket") as caught:
            stage(f"{bucket[1]}/m")
        assert "AWS_SECRET_ACCESS_KEY" in caught.value.fix
        assert "another-secret" not in str(caught.value) and "AKIDPLANTED" not in str(caught.value)

    def test_nobody_listens(self, bucket, monkeypatch):
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
        begun = time.monotonic()
        with pytest.raises(LipoError, match="cannot read s3://bucket"):
            stage(f"{bucket[1]}/m")
        assert time.monotonic() - begun < 60


class TestSending:
    def make(self, url):
        destination = Destination(url)
        destination.claim()
        destination.directory.mkdir(parents=True)
        for name in ("config.json", "a.safetensors", "b.safetensors", "manifest.json"):
            (destination.directory / name).write_bytes(name.encode() * 500_000)
        return destination

    def test_interrupted_it_is_no_model_and_continues(self, bucket):
        folder, url = bucket
        destination = self.make(f"{url}/out")

        def interrupt(done, _):
            if done > 7_000_000:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            destination.send(interrupt)
        there = {p.name for p in (folder / "out").iterdir()}
        assert "a.safetensors" in there and not there & {"config.json", "manifest.json"}
        with pytest.raises(LipoError, match="is not whole"):
            stage(f"{url}/out")
        counted = []
        again = Destination(f"{url}/out")
        again.claim()
        again.send(lambda done, _: counted.append(done))
        assert counted[0] > 6_500_000  # the first file was there
        local = stage(f"{url}/out")
        assert {p.name: p.read_bytes() for p in local.iterdir()} == {
            p.name: p.read_bytes() for p in again.directory.iterdir()
        }
        again.claim()
        again.send(lambda *_: pytest.fail("sent again"))

    def test_one_with_a_torn_file_is_refused(self, bucket):
        _, url = bucket
        self.make(f"{url}/out").send()
        put(f"{url}/out/b.safetensors", b"torn")
        with pytest.raises(LipoError, match="is not whole"):
            stage(f"{url}/out")

    def test_what_is_there_is_never_overwritten(self, bucket, tmp_path, monkeypatch):
        folder, url = bucket
        put(f"{url}/other/x", b"x")
        with pytest.raises(LipoError, match="is not empty"):
            Destination(f"{url}/other").claim()
        assert sorted(p.name for p in (folder / "other").iterdir()) == ["x"]
        self.make(f"{url}/out").send()
        monkeypatch.setenv("LIPO_CACHE", str(tmp_path / "elsewhere"))
        with pytest.raises(LipoError, match="is there already"):
            Destination(f"{url}/out").claim()


class TestCommands:
    def test_merge_from_the_store_to_the_store(self, remote_models, tmp_path):
        folder, url, models = remote_models
        local = lipo(*merging(models, tmp_path / "local"))
        assert local.returncode == 0, local.stderr
        plan = lipo(*merging(url, f"{url}/merged"), "--dry-run")
        assert plan.returncode == 0 and f"{url}/merged" in plan.stdout, plan.stderr
        assert not (folder / "merged").exists()
        done = lipo(*merging(url, f"{url}/merged"))
        assert done.returncode == 0, done.stderr
        assert f"{url}/merged is whole" in done.stdout
        assert hashes(folder / "merged") == hashes(tmp_path / "local") != {}
        assert json.loads((folder / "merged" / MARKER).read_text())["whole"] is True
        again = lipo(*merging(url, f"{url}/merged"))
        assert again.returncode == 0, again.stderr
        # Neither what was said nor what was written has a credential in it; the URL is recorded.
        secret = os.environ["AWS_SECRET_ACCESS_KEY"]
        written = [p.read_bytes() for p in [*folder.rglob("*"), *(tmp_path / "cache").rglob("*")] if p.is_file()]
        said = (plan.stdout + plan.stderr + done.stdout + done.stderr).encode()
        assert len(written) > 10
        assert not any(word.encode() in data for word in (secret, "AKIDPLANTED") for data in [*written, said])
        assert "s3/bucket" in (folder / "merged" / "manifest.json").read_text()

    def test_killed_while_sending_it_looks_unfinished_and_the_same_command_finishes_it(
        self, remote_models, tmp_path, killed_while_sending
    ):
        folder, url, _ = remote_models
        killed = subprocess.run(
            [sys.executable, "-c", killed_while_sending, *merging(url, f"{url}/merged")], timeout=120
        )
        assert killed.returncode == -signal.SIGKILL
        there = {p.name for p in (folder / "merged").iterdir()}
        assert "model.safetensors" in there and not there & {"config.json", "manifest.json"}
        refused = lipo("merge", "--base", f"{url}/base", "--experts", f"{url}/merged", "--out", tmp_path / "x")
        assert refused.returncode == 2 and "is not whole" in refused.stderr
        assert lipo(*merging(url, f"{url}/merged")).returncode == 0
        assert (stage(f"{url}/merged") / "manifest.json").is_file()

    def test_an_out_that_cannot_be_is_refused_before_the_work(self, remote_models, tmp_path):
        folder, url, _ = remote_models
        done = lipo(*merging(url, f"{url}/base"))
        assert done.returncode == 2 and "is not empty" in done.stderr
        done = lipo(*merging(url, "s3://nobucket/out"))
        assert done.returncode == 2 and "cannot write s3://nobucket/out" in done.stderr
        # Of an attempt only its identity stays.
        assert not [p for p in (tmp_path / "cache/out").glob("*") if not p.name.startswith(".")]
        assert not (folder.parent / "nobucket").exists()

    def test_questions(self, bucket, tmp_path):
        _, url = bucket
        row = {"data_source": "tiny/math", "prompt": [{"role": "user", "content": "1 + 1?"}], "ability": "math",
               "reward_model": {"ground_truth": "2", "style": "rule"}, "extra_info": {"index": 0}}  # fmt: skip
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist([row]), tmp_path / "questions.parquet")
        put(f"{url}/questions.parquet", (tmp_path / "questions.parquet").read_bytes())
        done = lipo("data", "check", f"{url}/questions.parquet")
        assert done.returncode == 0 and "rows: 1" in done.stdout and "no problems" in done.stdout, done.stderr

        from lipo.cli.evaluate import read_config

        put(f"{url}/base/config.json", b"{}")
        flags = {"models": {"base": f"{url}/base"}, "out": tmp_path / "out", "baseline": "base", "sampling": {}}
        config = read_config([], flags, [f"q={url}/questions.parquet"])
        assert (config.models["base"] / "config.json").is_file()
        assert config.benchmarks["q"].source.read_bytes() == (tmp_path / "questions.parquet").read_bytes()

    def test_training_data_and_model(self, bucket):
        from omegaconf import OmegaConf

        from lipo.cli._training import fetch_inputs

        _, url = bucket
        put(f"{url}/a.parquet", b"a")
        put(f"{url}/base/config.json", b"{}")
        config = OmegaConf.create(
            {"actor_rollout_ref": {"model": {"path": f"{url}/base"}}, "trainer": {"default_local_dir": "/runs/a"},
             "data": {"train_files": [f"{url}/a.parquet", "hdfs://b/a.parquet"], "val_files": "/b.parquet"}}
        )  # fmt: skip
        fetched = fetch_inputs(config)
        assert Path(fetched.data.train_files[0]).read_bytes() == b"a"
        assert fetched.data.train_files[1] == "hdfs://b/a.parquet" and fetched.data.val_files == "/b.parquet"
        assert (Path(fetched.actor_rollout_ref.model.path) / "config.json").is_file()
        config.trainer.default_local_dir = "s3://b/runs"
        with pytest.raises(LipoError, match="default_local_dir is s3://b/runs"):
            fetch_inputs(config)

    @pytest.mark.parametrize(
        "words",
        [
            ("eval", "--model", "base", "--benchmarks", "mathvista", "--out", "s3://b/out"),
            ("run", "recipes/tiny/demo.yaml", "out=s3://b/out"),
            ("train", "recipes/tiny/math.yaml", "trainer.default_local_dir=s3://b/out"),
        ],
        ids=lambda words: words[0],
    )
    def test_outputs_elsewhere_are_refused(self, words, tmp_path):
        done = lipo(*words, cwd=tmp_path)
        assert done.returncode == 2 and "s3://b/out" in done.stderr and "local or shared" in done.stderr
        assert list(tmp_path.iterdir()) == []
