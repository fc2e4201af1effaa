"""The installer, with real interpreters, environments and pip, but with wheels of a few bytes and no network."""

import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
INSTALL = ROOT / "install"


@pytest.fixture
def modules(monkeypatch):
    monkeypatch.syspath_prepend(str(INSTALL))
    return {name: importlib.import_module(name) for name in ("environment", "_interpreter", "_pip")}


def interpreter(path, version):
    """A command that answers like a Python of the given version."""
    path.write_text(f"#!/bin/sh\necho {path}\necho {version}\n")
    path.chmod(0o755)
    return str(path)


class TestInterpreter:
    def test_the_running_one_serves(self, modules):
        found = modules["_interpreter"].find()
        assert found.version == tuple(sys.version_info[:3])
        assert Path(found.path).resolve() == Path(sys.executable).resolve()

    def test_a_request_is_obeyed(self, modules, tmp_path):
        wanted = interpreter(tmp_path / "mine", "3 12 4")
        assert str(modules["_interpreter"].find(wanted)) == f"Python 3.12.4 ({wanted})"

    def test_a_wrong_request_says_what_it_is(self, modules, tmp_path):
        wrong = interpreter(tmp_path / "old", "3 10 2")
        with pytest.raises(modules["_interpreter"].NoPythonError) as caught:
            modules["_interpreter"].find(wrong)
        assert str(caught.value) == f"Python 3.11 or 3.12 is needed; PYTHON is Python 3.10.2 ({wrong})"

    def test_a_command_that_does_not_start(self, modules, tmp_path):
        with pytest.raises(modules["_interpreter"].NoPythonError, match="'/no/such', which does not start"):
            modules["_interpreter"].find("/no/such")

    def test_another_is_looked_for_past_broken_shims(self, modules, tmp_path, monkeypatch):
        shims, real = tmp_path / "shims", tmp_path / "real"
        shims.mkdir()
        real.mkdir()
        (shims / "python3.11").write_text("#!/bin/sh\nexit 127\n")
        (shims / "python3.11").chmod(0o755)
        interpreter(real / "python3.12", "3 12 1")
        monkeypatch.setattr(sys, "executable", interpreter(tmp_path / "python3", "3 13 0"))
        monkeypatch.setenv("PATH", f"{shims}{os.pathsep}{real}")
        assert modules["_interpreter"].find().path == str(real / "python3.12")
        (real / "python3.12").unlink()
        with pytest.raises(
            modules["_interpreter"].NoPythonError, match=r"found Python 3\.13\.0 .*no working python3\.11"
        ):
            modules["_interpreter"].find()


class TestExplain:
    @pytest.mark.parametrize(
        ("output", "what", "state"),
        [
            (
                "ERROR: Could not find a version\nERROR: No matching distribution found for torch==2.13.0+cpu\n",
                "pip's package index has no torch==2.13.0+cpu for this Python and machine",
                ("torch==2.13.0+cpu", False, False),
            ),
            (
                "WARNING: Retrying after connection broken by 'NewConnectionError(...)'\n"
                "ERROR: No matching distribution found for ray\n",
                "the package index cannot be reached",
                ("ray", True, False),
            ),
            (
                "Installing collected packages: a, b\nERROR: [Errno 28] No space left on device\n",
                "the disk is full",
                ("", False, True),
            ),
            (
                "ERROR: Cannot install torch==2.13.0+cpu because these package versions have conflicting dependencies"
                ".\n"
                "The conflict is caused by:\n    The user requested torch==2.13.0+cpu\n"
                "    The user requested (constraint) torch<=2.14.1\n",
                "pip can install no torch==2.13.0+cpu: its index has none, or a constraint rules it out",
                ("torch==2.13.0+cpu", False, False),
            ),
            ("Collecting a\nERROR: one\nERROR: two\n", "pip failed: ERROR: one / ERROR: two", ("", False, False)),
            ("python: No module named pip\n", "pip failed: python: No module named pip", ("", False, False)),
        ],
    )
    def test_reason(self, modules, output, what, state):
        error = modules["_pip"].explain(output, Path("install.log"))
        assert str(error) == what
        assert (error.missing, error.unreachable, error.touched) == state
        assert error.fix


def test_constraints_pin_every_package_once(modules):
    for name, torch in (("cpu.txt", "2.13.0+cpu"), ("gpu.txt", "2.11.0")):
        lines = [line for line in (INSTALL / name).read_text("utf-8").splitlines() if not line.startswith("#")]
        pins = modules["environment"].pins(INSTALL / name)
        assert len(pins) == len(lines) > 200
        assert list(pins) == sorted(pins)
        assert pins["torch"] == torch
        assert pins["verl"] == "0.9.1"


def test_a_full_disk_is_noticed_before_anything_is_made(modules, tmp_path, monkeypatch):
    environment = modules["environment"]
    monkeypatch.setattr(environment, "NEEDED_DISK", 10**18)
    with pytest.raises(environment.SetupError, match=r"needs 1000000000 GB of disk; .* has \d+\.\d GB"):
        environment.create(environment.Environment(tmp_path), modules["_interpreter"].find())
    assert not (tmp_path / ".venv").exists()


SCHEMAS = "import torch, torchvision; print(torch.ops.torchvision.nms.default._schema)"


def test_the_environment_imports_torchvision_whatever_its_build():
    done = subprocess.run([sys.executable, "-c", SCHEMAS], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("torchvision::nms(Tensor dets"), done.stderr


# A torch with just enough to see which operators were declared, and a torchvision that wants them.
TORCH = """
class version: cuda = {cuda}; hip = None
class library:
    class Library:
        names = []
        def __init__(self, *arguments): pass
        def define(self, schema): self.names.append(schema.split("(")[0])
"""
TORCHVISION = "import torch\ndeclared = torch.library.Library.names\n"


@pytest.mark.parametrize(
    ("vision", "cuda", "declared"),
    [
        ("0.28.0+cu130", None, ["nms", "qnms"]),
        ("0.28.0+cpu", None, []),
        ("0.28.0", None, []),
        ("0.28.0+cu130", "13.0", []),
    ],
)
def test_the_shim_acts_only_on_a_cuda_build_under_a_cpu_torch(tmp_path, vision, cuda, declared):
    for name, text in (("torch", TORCH.format(cuda=repr(cuda))), ("torchvision", TORCHVISION)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(text)
    (tmp_path / "torchvision" / "version.py").write_text(f"__version__ = '{vision}'\n")
    shutil.copy(INSTALL / "torchvision_cpu_ops.py", tmp_path)
    code = (
        "import sys, importlib.util, torchvision_cpu_ops as shim\n"
        "shim.activate(); shim.activate(); before = 'torch' in sys.modules\n"
        "importlib.util.find_spec('torchvision'); import torchvision; print(before, torchvision.declared)"
    )
    environment = {"PYTHONPATH": str(tmp_path), "PATH": os.environ["PATH"]}
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == f"False {declared}"


def wheel(directory, name, version, files):
    info = f"{name}-{version}.dist-info"
    files = files | {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(directory / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        for path, text in (files | {f"{info}/RECORD": record}).items():
            archive.writestr(path, text)


BACKEND = """
import os, time, zipfile
def build_editable(directory, settings=None, metadata=None):
    while os.path.exists("hold"): time.sleep(0.05)
    name, info = "lipo_rl-1-py3-none-any.whl", "lipo_rl-1.dist-info/"
    with zipfile.ZipFile(os.path.join(directory, name), "w") as archive:
        archive.writestr(info + "METADATA", "Metadata-Version: 2.1\\nName: lipo-rl\\nVersion: 1\\n")
        archive.writestr(info + "WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        archive.writestr(info + "RECORD", info + "METADATA,,\\n" + info + "WHEEL,,\\n" + info + "RECORD,,\\n")
    return name
build_wheel = build_editable
"""


class Checkout:
    """A tiny project beside the real installer."""

    def __init__(self, root: Path, wheels: Path) -> None:
        self.root, self.wheels, self.venv = root, wheels, root / ".venv"
        shutil.copytree(INSTALL, root / "install", ignore=shutil.ignore_patterns("__pycache__"))
        (root / "install" / "cpu.txt").write_text("setuptools==99.0\ntorch==2.13.0+cpu\ntorchvision==0.28.0\n")
        (root / "setup.py").write_text("one")
        (root / "backend.py").write_text(BACKEND)
        (root / "pyproject.toml").write_text(
            '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
            '[project]\nname = "lipo-rl"\nversion = "1"\noptional-dependencies = {cpu = [], test = []}\n'
        )

    def start(self, *arguments: str, **variables: str) -> subprocess.Popen:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("PIP_")}
        environment |= {"PIP_CONFIG_FILE": os.devnull, "PIP_FIND_LINKS": str(self.wheels), "PIP_NO_INDEX": "1"}
        return subprocess.Popen(
            [sys.executable, self.root / "install" / "environment.py", *arguments],
            env=environment | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments: str, **variables: str) -> tuple[int, str]:
        process = self.start(*arguments, **variables)
        output, _ = process.communicate(timeout=300)
        assert "Traceback" not in output, output
        return process.returncode, output


@pytest.fixture
def wheels(tmp_path):
    directory = tmp_path / "wheels"
    directory.mkdir()
    wheel(directory, "setuptools", "99.0", {"setuptools/__init__.py": ""})
    wheel(directory, "torch", "2.13.0+cpu", {"torch/__init__.py": TORCH.format(cuda=None)})
    version = {"torchvision/version.py": "__version__ = '0.28.0+cu130'\n"}
    wheel(directory, "torchvision", "0.28.0", {"torchvision/__init__.py": TORCHVISION} | version)
    return directory


@pytest.fixture
def checkout(tmp_path, wheels):
    root = tmp_path / "checkout"
    root.mkdir()
    return Checkout(root, wheels)


@pytest.mark.slow
def test_install_once_then_only_what_changed(checkout, tmp_path):
    status, output = checkout.run()
    assert status == 0, output
    assert "making .venv with Python 3." in output
    assert "installed in" in output
    assert not (checkout.venv / "lipo-unfinished").exists()
    assert not (checkout.venv / "tmp").exists()
    declared = [checkout.venv / "bin" / "python", "-c", "import torchvision; print(*torchvision.declared)"]
    assert subprocess.check_output(declared, text=True).split() == ["nms", "qnms"]

    (checkout.venv / "kept").touch()
    start = time.monotonic()
    assert checkout.run() == (0, "")
    assert time.monotonic() - start < 2

    (checkout.root / "setup.py").write_text("two")
    cpu = {"torchvision/__init__.py": TORCHVISION, "torchvision/version.py": "__version__ = '0.28.0+cpu'\n"}
    wheel(checkout.wheels, "torchvision", "0.28.0+cpu", cpu)
    status, output = checkout.run()
    assert status == 0, output
    assert "making" not in output
    assert (checkout.venv / "kept").exists()
    assert subprocess.check_output(declared, text=True).split() == []
    assert not list(checkout.venv.glob("lib/*/site-packages/torchvision_cpu_ops*"))

    # The scripts of a moved environment start an interpreter that is no longer there.
    moved = Checkout.__new__(Checkout)
    moved.root, moved.wheels, moved.venv = tmp_path / "moved", checkout.wheels, tmp_path / "moved" / ".venv"
    checkout.root.rename(moved.root)
    status, output = moved.run()
    assert status == 0, output
    assert not (moved.venv / "kept").exists()
    assert json.loads((moved.venv / "lipo-stamp.json").read_text())["root"] == str(moved.root)


@pytest.mark.slow
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_install_is_redone(checkout, end):
    (checkout.root / "hold").touch()
    process = checkout.start()
    unpacked = time.monotonic() + 120
    while not list(checkout.venv.glob("lib/*/site-packages/torchvision-*")) and time.monotonic() < unpacked:
        time.sleep(0.05)
    if end == signal.SIGTERM:
        process.send_signal(end)
    else:
        os.killpg(process.pid, end)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == {signal.SIGKILL: -9, signal.SIGINT: 130, signal.SIGTERM: 143}[end], output
    assert (checkout.venv / "lipo-unfinished").exists()
    assert not (checkout.venv / "lipo-stamp.json").exists()

    (checkout.venv / "half").touch()
    (checkout.root / "hold").unlink()
    status, output = checkout.run()
    assert status == 0, output
    assert "removing the unusable .venv" in output
    assert not (checkout.venv / "half").exists()


@pytest.mark.slow
def test_what_is_missing_is_named_and_the_rest_kept(checkout):
    torch = checkout.wheels / "torch-2.13.0+cpu-py3-none-any.whl"
    elsewhere = torch.rename(checkout.root / torch.name)
    nowhere = {"PIP_NO_INDEX": "", "PIP_FIND_LINKS": "", "PIP_INDEX_URL": "http://127.0.0.1:9/", "PIP_RETRIES": "1"}
    status, output = checkout.run(**nowhere)
    assert status == 1
    assert "error: the package index cannot be reached\n  fix: check the network" in output

    status, output = checkout.run()
    assert status == 1
    assert "making" not in output
    assert "error: no CPU build of torch for this Python: pip's package index has no torch==2.13.0+cpu" in output
    assert "and of https://download.pytorch.org/whl/cpu: pip's package index has no torch" in output
    assert "fix: " in output

    elsewhere.rename(torch)
    (checkout.venv / "kept").touch()
    status, output = checkout.run()
    assert status == 0, output
    assert (checkout.venv / "kept").exists()


@pytest.mark.slow
def test_two_at_once_install_once(checkout):
    (checkout.root / "hold").touch()
    first = checkout.start()
    while not (checkout.venv / "lipo-unfinished").exists() and first.poll() is None:
        time.sleep(0.05)
    second = checkout.start()
    assert second.stdout.readline() == "waiting for another installation of this checkout\n"
    (checkout.root / "hold").unlink()
    assert "installed in" in first.communicate(timeout=300)[0]
    assert second.communicate(timeout=60)[0] == ""
    assert (first.returncode, second.returncode) == (0, 0)


def test_a_wrong_python_is_one_clear_message(checkout, tmp_path):
    status, output = checkout.run("--python", interpreter(tmp_path / "python3.9", "3 9 1"))
    assert status == 1
    assert output.startswith("error: Python 3.11 or 3.12 is needed; PYTHON is Python 3.9.1")
    assert "fix: install one of them" in output
    assert not checkout.venv.exists()
