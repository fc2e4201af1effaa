import os
import subprocess
import sys
import time
import uuid
from pathlib import Path

import psutil
import pytest

MARK = "LIPO_TEST_MARK"


class Command:
    """A ``lipo`` command in a directory of its own, whose whole process family can be recognised."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.mark = uuid.uuid4().hex
        self.log = directory / "output.txt"

    def start(self, *arguments: str) -> subprocess.Popen:
        environment = dict(os.environ, **{MARK: self.mark, "COLUMNS": "200"})
        lipo = Path(sys.executable).parent / "lipo"
        with self.log.open("ab") as output:
            return subprocess.Popen(
                [str(lipo), *arguments],
                cwd=self.directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def output(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def wait_for(self, process: subprocess.Popen, condition, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if condition():
                return
            assert process.poll() is None, f"ended with {process.returncode}:\n{self.output()[-3000:]}"
            time.sleep(0.05)
        raise AssertionError(f"waited {seconds} s in vain:\n{self.output()[-3000:]}")

    def finish(self, process: subprocess.Popen, seconds: float) -> int:
        try:
            return process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {seconds} s:\n{self.output()[-3000:]}") from None

    def family(self) -> list[psutil.Process]:
        """Living processes that inherited our mark, wherever they have gone."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(MARK) == self.mark and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        return found

    def assert_nothing_left(self, seconds: float = 30) -> None:
        end = time.monotonic() + seconds
        while left := self.family():
            assert time.monotonic() < end, f"still there: {[(p.pid, p.cmdline()) for p in left]}"
            time.sleep(0.2)


@pytest.fixture
def command(tmp_path):
    command = Command(tmp_path)
    yield command
    for process in command.family():
        process.kill()
