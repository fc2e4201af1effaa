import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from lipo.common.processes import supervised

# Starts a daemon in a session of its own, as Ray does, names it, and waits.
WITH_DAEMON = """
import subprocess, sys, time
daemon = subprocess.Popen(["setsid", "sleep", "60"])
print(daemon.pid, flush=True)
time.sleep(60)
"""


def wait_for(condition, seconds=20):
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until:
        time.sleep(0.02)
    return condition()


def alive(pid):
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


@pytest.mark.parametrize("error", [None, KeyboardInterrupt])
def test_nothing_outlives_the_block(tmp_path, error):
    log = tmp_path / "logs" / "log.txt"
    bystander = subprocess.Popen(["sleep", "60"])
    try:
        with supervised([sys.executable, "-c", WITH_DAEMON], log, os.environ) as process:
            assert wait_for(lambda: log.read_text().strip())
            daemon = int(log.read_text())
            assert alive(daemon)
            if error:
                raise error
    except KeyboardInterrupt:
        pass
    finally:
        assert not alive(daemon)
        assert process.returncode is not None
        assert alive(bystander.pid)
        bystander.kill()
        bystander.wait()


def test_status_output_directory_and_environment(tmp_path):
    log = tmp_path / "log.txt"
    log.write_text("before\n")
    command = ["sh", "-c", "pwd; echo $WHO; echo trouble >&2; exit 3"]
    with supervised(command, log, {"WHO": "me", "PATH": os.environ["PATH"]}, directory=tmp_path) as process:
        assert process.wait(20) == 3
    assert log.read_text().splitlines() == ["before", str(tmp_path), "me", "trouble"]


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_supervisor_takes_program_and_daemons_along(tmp_path, end):
    log = tmp_path / "log.txt"
    code = (
        "import os, sys, time\nfrom pathlib import Path\nfrom lipo.common.processes import supervised\n"
        f"with supervised([sys.executable, '-c', {WITH_DAEMON!r}], Path(sys.argv[1]), os.environ) as guardian:\n"
        "    print(guardian.pid, flush=True)\n"
        "    time.sleep(60)\n"
    )
    supervisor = subprocess.Popen([sys.executable, "-c", code, str(log)], stdout=subprocess.PIPE, text=True)
    guardian = int(supervisor.stdout.readline())
    assert wait_for(lambda: log.exists() and log.read_text().strip())
    daemon = int(log.read_text())
    family = [p.pid for p in psutil.Process(guardian).children(recursive=True)]
    assert daemon in family
    supervisor.send_signal(end)
    supervisor.communicate()
    assert wait_for(lambda: not any(map(alive, [guardian, daemon, *family])))


def test_program_that_ignores_termination_is_killed(tmp_path):
    log = tmp_path / "log.txt"
    stubborn = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    )
    with supervised([sys.executable, "-c", stubborn], log, os.environ) as process:
        assert wait_for(lambda: log.read_text().strip())
        (program,) = psutil.Process(process.pid).children()
    assert not alive(program.pid)
    assert process.returncode == 128 + signal.SIGKILL
