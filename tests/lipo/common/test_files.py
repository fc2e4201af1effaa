import hashlib
import os
import signal
import subprocess
import sys

import pytest

from lipo.common import LipoError, atomic_directory, atomic_write, only_one, require_free_space, sha256_file


def names(directory):
    return sorted(file.name for file in directory.iterdir())


def test_write_replaces_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "deep" / "table.md"
    for text in ("first", "zweites ≥ 1"):
        with atomic_write(path) as file:
            file.write(text)
        assert path.read_text("utf-8") == text
    with atomic_write(path, "wb") as file:
        file.write(b"\x00\x01")
    assert path.read_bytes() == b"\x00\x01"
    assert names(path.parent) == ["table.md"]


def test_failed_write_keeps_the_old_content(tmp_path):
    path = tmp_path / "table.md"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), atomic_write(path) as file:
        file.write("new")
        file.flush()
        raise ZeroDivisionError
    assert path.read_text() == "old"
    assert names(tmp_path) == ["table.md"]


def test_written_files_obey_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        with atomic_write(tmp_path / "f") as file:
            file.write("x")
        with atomic_directory(tmp_path / "d") as work:
            (work / "f").write_text("x")
    finally:
        os.umask(before)
    assert (tmp_path / "f").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "d").stat().st_mode & 0o777 == 0o750


def test_directory_appears_whole_or_not_at_all(tmp_path):
    final = tmp_path / "model"
    with pytest.raises(ZeroDivisionError), atomic_directory(final) as work:
        (work / "half").write_text("x")
        assert not final.exists()
        raise ZeroDivisionError
    assert names(tmp_path) == []
    with atomic_directory(final) as work:
        (work / "sub").mkdir()
        (work / "sub" / "whole").write_text("x")
    assert names(tmp_path) == ["model"]
    assert names(final / "sub") == ["whole"]


def test_existing_directory_is_never_replaced(tmp_path):
    (tmp_path / "model").mkdir()
    with pytest.raises(LipoError, match="exists already"), atomic_directory(tmp_path / "model"):
        pytest.fail("the block must not run")


KILLED_WHILE_WRITING = """
import os, signal, sys
from pathlib import Path
from lipo.common import atomic_directory, atomic_write
target = Path(sys.argv[2])
writer = atomic_write(target) if sys.argv[1] == "file" else atomic_directory(target)
work = writer.__enter__()
if sys.argv[1] == "file":
    work.write("half"); work.flush()
else:
    (work / "half").write_text("half")
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("kind", ["file", "directory"])
# The brackets: a pattern match must not take them for a set of characters.
@pytest.mark.parametrize("name", ["model", "run[1]"])
def test_a_kill_leaves_nothing_under_the_final_name(tmp_path, kind, name):
    target = tmp_path / name
    ended = subprocess.run([sys.executable, "-c", KILLED_WHILE_WRITING, kind, str(target)], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert not target.exists()
    assert len(names(tmp_path)) == 1
    if kind == "directory":
        with atomic_directory(target) as work:
            (work / "whole").write_text("x")
        assert names(tmp_path) == [name]


def test_a_directory_in_the_making_is_left_alone_by_one_whose_name_it_begins_with(tmp_path):
    with atomic_directory(tmp_path / "model.v2") as work:
        (work / "whole").write_text("x")
        with atomic_directory(tmp_path / "model"):
            pass
    assert names(tmp_path / "model.v2") == ["whole"]


def test_free_space(tmp_path):
    require_free_space(tmp_path / "not" / "yet" / "there", 1, "nothing")
    with pytest.raises(LipoError, match=r"the merged model needs 1000000000\.00 GB but .* GB free"):
        require_free_space(tmp_path / "not" / "yet", 10**18, "the merged model")


def test_hash_of_more_than_one_block(tmp_path):
    data = bytes(range(256)) * 4096 + b"tail"
    (tmp_path / "f").write_bytes(data)
    assert len(data) > 1 << 20
    assert sha256_file(tmp_path / "f") == hashlib.sha256(data).hexdigest()


def test_only_one_process_at_a_time(tmp_path):
    lock = tmp_path / "lock"
    refused = pytest.raises(LipoError, match="another process is at training in x")
    with only_one(lock, "training in x"), refused, only_one(lock, "training in x"):
        pass
    with only_one(lock, "training in x"):
        assert lock.exists()
