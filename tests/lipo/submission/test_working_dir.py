import os
import subprocess
from pathlib import Path

import pytest

from lipo.common import LipoError
from lipo.submission import EXCLUDES, check_size

ROOT = Path(__file__).parents[3]


def test_size(tmp_path):
    (tmp_path / "recipe.yaml").write_text("x" * 1000)
    for name in ("runs", ".venv", ".git"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "big").write_bytes(b"0" * 10**6)
    (tmp_path / "weights.pt").write_bytes(b"0" * 10**6)
    assert check_size(tmp_path) == 1000
    (tmp_path / "recipes/data").mkdir(parents=True)
    (tmp_path / "recipes/data/build.py").write_text("x" * 10)
    assert check_size(tmp_path) == 1010
    assert check_size(tmp_path, (*EXCLUDES, "recipes/data/")) == check_size(tmp_path, (*EXCLUDES, "data/")) == 1000
    (tmp_path / "film.mp4").touch()
    os.truncate(tmp_path / "film.mp4", 80 << 20)
    with pytest.raises(LipoError, match=r"84 MB would be sent .*film\.mp4 \(84 MB\)"):
        check_size(tmp_path)
    assert check_size(tmp_path, (*EXCLUDES, "*.mp4")) == 1010
    with pytest.raises(LipoError, match="no directory"):
        check_size(tmp_path / "none")


def test_this_checkout_is_small_enough():
    assert check_size(ROOT) < 30 << 20


def test_all_code_and_recipes_of_this_checkout_go_along():
    from ray._private.runtime_env.packaging import _get_excludes

    excluded = _get_excludes(ROOT, list(EXCLUDES))
    listed = subprocess.run(["git", "ls-files", "-z", "*.py", "*.yaml"], cwd=ROOT, check=True, capture_output=True)
    files = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    lost = [file for file in files if excluded(file)]
    assert files and lost == []
