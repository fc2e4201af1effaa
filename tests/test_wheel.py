"""The wheel: what it must carry, and that it works without the checkout."""

import email
import os
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import PathDistribution
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("lipo", "reward_fns", "merge", "eval", "recipes")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    # From a copy: setuptools leaves build/ and *.egg-info behind, and takes up what it finds there.
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in (*PACKAGES, "tests", "install"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
        "-w",
        target,
        source,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (path,) = target.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    target = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target)
    return target


def test_it_carries_every_file_of_the_packages_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    files = (path for package in PACKAGES for path in (ROOT / package).rglob("*") if path.is_file())
    expected = {str(path.relative_to(ROOT)) for path in files if "__pycache__" not in path.parts}
    assert names == expected
    assert {"recipes/tiny/math.yaml", "recipes/tiny/base/model.safetensors"} <= names


def test_metadata(installed):
    (info,) = installed.glob("*.dist-info")
    metadata = email.message_from_string((info / "METADATA").read_text("utf-8"))
    assert metadata["Name"] == "lipo-rl"
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata.get_all("License-File") == ["LICENSE"]
    assert "Apache License" in (info / "licenses" / "LICENSE").read_text("utf-8")
    assert metadata["Requires-Python"] == ">=3.11,<3.13"
    assert set(metadata.get_all("Provides-Extra")) == {"cpu", "docs", "gpu", "test"}
    assert {(point.group, point.name, point.value) for point in PathDistribution(info).entry_points} == {
        ("console_scripts", "lipo", "lipo.cli:main"),
        ("verl.plugins", "lipo", "lipo.verl_plugin"),
        ("vllm.general_plugins", "lipo", "lipo.verl_plugin.vllm_cpu:register"),
    }


def test_it_works_without_the_checkout(installed, tmp_path):
    code = (
        "import lipo, merge, eval, reward_fns, recipes\n"
        "from pathlib import Path\n"
        "from lipo.cli._recipes import find_recipe\n"
        "print(lipo.__file__, find_recipe(Path('recipes/tiny/math.yaml')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == [str(installed / "lipo/__init__.py"), str(installed / "recipes/tiny/math.yaml")], (
        done.stderr
    )
