"""Hashes of the inputs, taken while torch loads."""

import json
import subprocess
import sys
import time
from pathlib import Path

from lipo.common import sha256_file
from merge import MergeConfig
from merge._early import EarlyHashes, hash_early

MERGE = """
import sys
from pathlib import Path
from merge import MergeConfig, run
assert "torch" not in sys.modules
folder = Path(sys.argv[1])
run(MergeConfig(base=folder / "base", experts={"math": folder / "math"}, out=folder / "out", method="average"))
"""


def _files(folder: Path, *sizes: int) -> list[Path]:
    files = [folder / f"{index} with\na line.safetensors" for index in range(len(sizes))]
    for file, size in zip(files, sizes, strict=True):
        file.write_bytes(b"x" * size)
    return files


def test_hashes_of_all_files(tmp_path: Path) -> None:
    files = _files(tmp_path, 0, 10, 3 << 20)
    with EarlyHashes(files) as early:
        process = early._process
        assert process
        deadline = time.monotonic() + 30
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        assert early.claim() == set(files)
        assert early.results() == {file: sha256_file(file) for file in files}


def test_who_has_enough_gets_what_was_begun(tmp_path: Path) -> None:
    files = _files(tmp_path, *[100 << 20] * 8)
    with EarlyHashes(files) as early:
        claimed = early.claim()
        results = early.results()
    assert len(claimed) < 8 and claimed <= results.keys()
    assert all(digest == sha256_file(file) for file, digest in results.items())


def test_a_file_that_cannot_be_read_is_left_to_others(tmp_path: Path) -> None:
    files = [*_files(tmp_path, 5), tmp_path / "missing", tmp_path / "after"]
    with EarlyHashes(files) as early:
        process = early._process
        assert process and process.wait(30) != 0
        assert early.claim() == set(files[:2])
        assert early.results() == {files[0]: sha256_file(files[0])}


def test_the_end_of_the_block_ends_the_process(tmp_path: Path) -> None:
    (file,) = _files(tmp_path, 1 << 30)
    with EarlyHashes([file]) as early:
        process = early._process
    assert process and process.returncode is not None


def test_nothing_is_started_where_torch_is_loaded(models) -> None:
    config = MergeConfig(base=models["base"], experts={"math": models["math"]}, out=Path("unused"))
    with hash_early(config) as early:
        assert early.claim() == set() and early.results() == {}


def test_a_merge_in_a_fresh_process(models, tmp_path: Path) -> None:
    command = [sys.executable, "-c", MERGE, str(tmp_path)]
    subprocess.run(command, check=True, cwd=Path(__file__).parents[2])
    inputs = json.loads((tmp_path / "out" / "manifest.json").read_text())["inputs"]
    assert inputs["base"] == {"model.safetensors": sha256_file(models["base"] / "model.safetensors")}
    assert inputs["experts"]["math"] == {"model.safetensors": sha256_file(models["math"] / "model.safetensors")}
