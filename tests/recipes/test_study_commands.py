"""Trainings side by side, with small programs in the place of ``lipo``."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from lipo.common import LipoError
from recipes.tiny.study import commands
from recipes.tiny.study.commands import lipo_side_by_side


@pytest.fixture
def program(monkeypatch):
    """Run the first argument as Python in the place of ``lipo``."""
    monkeypatch.setattr(commands, "_LIPO", ("-c",))
    monkeypatch.setattr(commands, "_POLL_SECONDS", 0.02)
    monkeypatch.setattr(commands, "_START_APART_SECONDS", 0)


def test_no_more_run_at_a_time_than_asked_for(program, tmp_path):
    code = f"""
import os, pathlib, time
mine = pathlib.Path({str(tmp_path)!r}, f"running-{{os.getpid()}}")
mine.touch()
time.sleep(0.3)
print("at once", len(list(mine.parent.glob("running-*"))))
mine.unlink()
"""
    lipo_side_by_side({f"t{i}": (code,) for i in range(4)}, 2, tmp_path / "logs")
    counts = [int((tmp_path / f"logs/t{i}.txt").read_text().split()[-1]) for i in range(4)]
    assert max(counts) == 2


def test_they_do_not_start_together(program, tmp_path, monkeypatch):
    monkeypatch.setattr(commands, "_START_APART_SECONDS", 1.5)
    started, supervised = [], commands.supervised

    def start(*arguments):
        started.append(time.monotonic())
        return supervised(*arguments)

    monkeypatch.setattr(commands, "supervised", start)
    lipo_side_by_side({"a": ("import time; time.sleep(4)",), "b": ("",), "c": ("",)}, 3, tmp_path)
    a, b, c = started
    assert b - a > 1 and c - b > 1


@pytest.mark.parametrize("own", [None, "3"])
def test_they_share_the_cores_unless_told_otherwise(own, program, tmp_path, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if own:
        monkeypatch.setenv("OMP_NUM_THREADS", own)
    monkeypatch.setattr(commands.os, "sched_getaffinity", lambda _: set(range(8)))
    lipo_side_by_side({"a": ("import os; print(os.environ['OMP_NUM_THREADS'])",)}, 2, tmp_path)
    assert (tmp_path / "a.txt").read_text() == f"{own or 4}\n"


def test_where_one_fails_the_others_finish(program, tmp_path, capfd):
    wanted = {"bad": ("raise SystemExit('error: no room')",), "good": ("print('fine')",), "late": ("print('too')",)}
    with pytest.raises(LipoError, match="failed: bad"):
        lipo_side_by_side(wanted, 2, tmp_path)
    assert "fine" in (tmp_path / "good.txt").read_text()
    assert "too" in (tmp_path / "late.txt").read_text()
    shown = capfd.readouterr().out
    assert "bad: failed after 0.0 minutes\n    error: no room" in shown
    assert "late: done after" in shown


STUDY = """
import sys
from pathlib import Path
from recipes.tiny.study import commands
commands._LIPO = ("-c",)
commands._START_APART_SECONDS = 0
code = "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
code += "print('up', flush=True); time.sleep(60)"
try:
    commands.lipo_side_by_side({"a": (code,), "b": (code,), "c": (code,)}, 2, Path(sys.argv[1]))
except KeyboardInterrupt:
    sys.exit("interrupted")
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_when_the_study_ends_all_of_them_do(number, tmp_path):
    study = subprocess.Popen([sys.executable, "-c", STUDY, tmp_path], start_new_session=True)
    logs = [tmp_path / f"{name}.txt" for name in "ab"]
    end = time.monotonic() + 60
    while not all(log.exists() and "up" in log.read_text() for log in logs):
        assert time.monotonic() < end and study.poll() is None
        time.sleep(0.05)
    family = psutil.Process(study.pid).children(recursive=True)
    assert len(family) >= 6  # of each: the guardian, the program and its child
    os.kill(study.pid, number)
    assert study.wait(60) != 0
    _, alive = psutil.wait_procs(family, timeout=30)
    assert not alive
    assert not (tmp_path / "c.txt").exists()


ONE = """
import sys
from recipes.tiny.study import commands
commands._LIPO = ("-c",)
try:
    commands.lipo("import time; print('up', flush=True); time.sleep(60)")
except commands.LipoError as error:
    sys.exit(error.what)
"""


def test_a_study_that_is_told_to_end_ends_the_training_that_it_waits_for():
    study = subprocess.Popen([sys.executable, "-c", ONE], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert study.stdout.readline() == "up\n"
    (training,) = psutil.Process(study.pid).children()
    study.terminate()
    _, error = study.communicate(timeout=30)
    assert study.returncode == 1 and "ended with status -15" in error
    assert not training.is_running()
