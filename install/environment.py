"""Makes ``.venv`` and installs LIPO with everything that training on a CPU needs, in the pinned versions.

Run by ``make``; needs nothing but a Python to start with. The steps: find Python 3.11 or 3.12, make the environment,
install the CPU build of torch (from the user's own pip configuration, else from PyTorch's CPU index), torchvision, then
the package with its ``cpu`` and ``test`` extras, held to ``cpu.txt``. A stamp makes a second run return at once; a run
that was interrupted is started afresh, never continued on half-unpacked packages.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import _interpreter
import _pip
import torchvision_cpu_ops

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
CONSTRAINTS = HERE / "cpu.txt"
PYTORCH_INDEX = "https://download.pytorch.org/whl/cpu"
NEEDED_DISK = 6_000_000_000  # The environment takes 4.3 GB; the downloads pass through the same disk.
SHIM = "torchvision_cpu_ops"
_IMPORTS = "import torch, torchvision; assert torch.version.cuda is None, 'torch is a CUDA build'"


class SetupError(Exception):
    """The environment cannot be made: what is wrong, and what to do."""

    def __init__(self, what: str, fix: str) -> None:
        super().__init__(what)
        self.fix = fix


def pins(constraints: Path = CONSTRAINTS) -> dict[str, str]:
    """Read a constraint file: name → version."""
    lines = [line.strip() for line in constraints.read_text("utf-8").splitlines()]
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


class Environment:
    """The virtual environment of a checkout, and what is known about its state.

    Args:
        root: The checkout.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.path = root / ".venv"
        self.python = self.path / "bin" / "python"
        self.stamp = self.path / "lipo-stamp.json"
        self.unfinished = self.path / "lipo-unfinished"
        self.log = self.path / "install.log"

    def version(self) -> tuple[int, ...] | None:
        """Python version of the environment, read from its files; ``None`` where there is no working one."""
        try:
            text = (self.path / "pyvenv.cfg").read_text("utf-8")
        except OSError:
            return None
        found = re.search(r"^version(?:_info)?\s*=\s*(\d+)\.(\d+)", text, re.MULTILINE)
        return (int(found[1]), int(found[2])) if found and self.python.exists() else None

    def wanted_stamp(self) -> dict[str, object]:
        """What the stamp must say: a hash of all files that decide what is installed, for which Python, and where."""
        digest = hashlib.sha256()
        for file in [self.root / "setup.py", *sorted((self.root / "install").glob("*.py")), CONSTRAINTS]:
            digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
        # An editable installation knows the packages that were there when it was made.
        for package in sorted(self.root.glob("*/__init__.py")):
            digest.update(package.parent.name.encode() + b"\0")
        return {"files": digest.hexdigest(), "python": list(self.version() or ()), "root": str(self.root)}

    def found_stamp(self) -> dict[str, object]:
        """What the stamp says; empty where there is none."""
        try:
            stamp = json.loads(self.stamp.read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        return stamp if isinstance(stamp, dict) else {}

    def ready(self, requested: tuple[int, ...] | None) -> bool:
        """Whether nothing needs to be done.

        Args:
            requested: Python version the user insists on.
        """
        return (
            self.version() in _interpreter.SUPPORTED
            and requested in (None, self.version())
            and not self.unfinished.exists()
            and self.found_stamp() == self.wanted_stamp()
        )

    def usable(self, requested: tuple[int, ...] | None) -> bool:
        """Whether the environment can be brought up to date in place (else it is made anew)."""
        return (
            self.version() in _interpreter.SUPPORTED
            and requested in (None, self.version())
            and not self.unfinished.exists()
            # The scripts in bin/ name the folder they were made in.
            and self.found_stamp().get("root", str(self.root)) == str(self.root)
        )

    def write_stamp(self) -> None:
        """Declare the installation complete."""
        part = self.stamp.with_suffix(".part")
        part.write_text(json.dumps(self.wanted_stamp()), "utf-8")
        part.replace(self.stamp)

    def site_packages(self) -> Path:
        """Where packages are installed."""
        major, minor = self.version() or (0, 0)
        return self.path / "lib" / f"python{major}.{minor}" / "site-packages"


def create(environment: Environment, interpreter: _interpreter.Interpreter) -> None:
    """Make an empty environment in place of whatever is there.

    Raises:
        SetupError: Too little disk, or a Python without ``venv``.
    """
    if environment.path.exists():
        print(f"removing the unusable {environment.path.name}", flush=True)
        shutil.rmtree(environment.path)
    free = shutil.disk_usage(environment.root).free
    if free < NEEDED_DISK:
        raise SetupError(
            f"the environment needs {NEEDED_DISK / 1e9:.0f} GB of disk; {environment.root} has {free / 1e9:.1f} GB",
            "free some space, or clone into another disk",
        )
    print(f"making {environment.path.name} with {interpreter}", flush=True)
    environment.path.mkdir()
    environment.unfinished.touch()
    made = subprocess.run(
        [interpreter.path, "-m", "venv", str(environment.path)], capture_output=True, text=True, check=False
    )
    if made.returncode:
        version = ".".join(map(str, interpreter.version[:2]))
        raise SetupError(
            f"{interpreter} cannot make a virtual environment: {(made.stderr or made.stdout).strip()[-300:]}",
            f"install its venv module (on Debian and Ubuntu: apt install python{version}-venv)",
        )


def install(environment: Environment) -> None:
    """Bring the environment to the pinned versions.

    Raises:
        SetupError: Pip failed, or what it installed does not work.
    """
    pinned = pins()

    def pip(title: str, *arguments: str) -> None:
        _pip.run(environment.python, list(arguments), title, environment.log)

    def torch_build(title: str, name: str, *arguments: str) -> None:
        """Install a CPU build: where pip's own configuration has it, else from PyTorch's index."""
        # Without dependencies: PyTorch's index carries other versions of them than the pinned ones.
        wanted = ["--no-deps", f"{name}=={pinned[name].split('+')[0]}+cpu", *arguments]
        try:
            pip(title, *wanted)
            return
        except _pip.PipError as error:
            if not error.absent:
                raise
            first = error
        try:
            pip(f"{title} from {PYTORCH_INDEX}", *wanted, "--index-url", PYTORCH_INDEX)
        except _pip.PipError as second:
            if not second.absent:
                raise
            raise _pip.PipError(
                f"no CPU build of {name} for this Python: {first}; and of {PYTORCH_INDEX}: {second}",
                "check the network and the proxy (HTTPS_PROXY), or set PIP_FIND_LINKS to a folder with the wheel",
                missing=second.missing,
                unreachable=second.unreachable,
            ) from second

    if not (environment.site_packages() / "pip").is_dir():
        subprocess.run([environment.python, "-m", "ensurepip"], capture_output=True, check=False)
    pip("[1/4] setuptools", f"setuptools=={pinned['setuptools']}")
    torch_build("[2/4] torch, CPU build", "torch")
    vision = f"torchvision=={pinned['torchvision']}"
    try:
        # Without it there is a way out, so do not insist.
        torch_build("[3/4] torchvision, CPU build", "torchvision", "--retries=1", "--timeout=10")
    except _pip.PipError as error:
        if not error.absent:
            raise
        pip("[3/4] torchvision, any build", "--no-deps", vision)
    place_shim(environment.site_packages())
    # Built with the pinned setuptools, so that a new release of it cannot break the few source packages among them.
    pip(
        f"[4/4] LIPO, verl, vLLM, Ray ({len(pinned)} pinned packages)",
        *("--no-build-isolation", "--use-pep517", "--constraint", str(CONSTRAINTS)),
        *(f"torch=={pinned['torch']}", vision, "--editable", f"{environment.root}[cpu,test]"),
    )
    for arguments in (["-m", "pip", "check"], ["-c", _IMPORTS]):
        check = subprocess.run([environment.python, *arguments], capture_output=True, text=True, check=False)
        if check.returncode:
            raise SetupError(
                f"the installed packages do not fit together: {(check.stdout + check.stderr).strip()[-500:]}",
                f"remove {environment.path} and run the command again",
            )
    shutil.rmtree(environment.path / "tmp", ignore_errors=True)


def place_shim(site_packages: Path) -> None:
    """Put the torchvision shim into the environment where torchvision is a CUDA build, and take it out elsewhere."""
    module, hook = site_packages / f"{SHIM}.py", site_packages / f"{SHIM}.pth"
    if torchvision_cpu_ops.is_cuda_build(site_packages / "torchvision"):
        shutil.copyfile(HERE / f"{SHIM}.py", module)
        hook.write_text(f"import {SHIM}; {SHIM}.activate()\n", "utf-8")
    else:
        hook.unlink(missing_ok=True)
        module.unlink(missing_ok=True)


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Let only one process at a time install."""
    handle = os.open(HERE, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("waiting for another installation of this checkout", flush=True)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def prepare(environment: Environment, requested: str | None) -> None:
    """Make the environment ready, doing only what is missing.

    Args:
        environment: The checkout's environment.
        requested: Interpreter the user insists on, if any.

    Raises:
        SetupError: With what is wrong and what to do.
    """
    try:
        asked = _interpreter.find(requested) if requested else None
        version = asked.version[:2] if asked else None
        if environment.ready(version):
            return
        with alone():
            if environment.ready(version):
                return
            start = time.monotonic()
            if not environment.usable(version):
                create(environment, asked or _interpreter.find())
            environment.stamp.unlink(missing_ok=True)
            environment.unfinished.touch()
            try:
                install(environment)
            except _pip.PipError as error:
                # Whatever pip finished before is whole, so the next run can go on from there.
                if not error.touched:
                    environment.unfinished.unlink()
                raise SetupError(str(error), error.fix) from error
            environment.write_stamp()
            environment.unfinished.unlink()
            print(f"installed in {(time.monotonic() - start) / 60:.1f} minutes", flush=True)
    except _interpreter.NoPythonError as error:
        raise SetupError(
            str(error), "install one of them (apt, dnf, pyenv, conda …) or name it: make PYTHON=/path/to/python3.11"
        ) from error


def main() -> None:
    """Parse the command line and prepare the environment; exit status 1 for what the user can put right."""
    parser = argparse.ArgumentParser(description="Make .venv and install LIPO for a CPU machine.")
    parser.add_argument("--python", help="interpreter to use; default: a Python 3.11 or 3.12 that is found")
    requested = parser.parse_args().python
    # So that pip is stopped too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        prepare(Environment(ROOT), requested or None)
    except SetupError as error:
        sys.exit(f"error: {error}\n  fix: {error.fix}")
    except OSError as error:
        sys.exit(f"error: {error}\n  fix: check the disk and the permissions of {ROOT}, then run the command again")
    except KeyboardInterrupt:
        print("\ninterrupted; the same command starts the installation again", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
