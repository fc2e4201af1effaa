import os
import subprocess
import sys

import pytest

import lipo


def run(*arguments, **variables):
    code = "from lipo.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        env=os.environ | {"LIPO_DEBUG": ""} | variables,
        check=False,
    )


def test_version():
    done = run("--version")
    assert (done.returncode, done.stdout.strip()) == (0, f"lipo {lipo.__version__}")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["learn"], "No such command 'learn'"),
        (["merge"], "Missing argument 'recipe'"),
        (["merge", "recipe.yaml", "--fast"], "No such option"),
        (["doctor", "--fix"], "No such option"),
    ],
)
def test_a_wrong_command_line_is_no_traceback(arguments, message):
    done = run(*arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_without_a_command_there_is_help():
    done = run()
    assert "Usage:" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_a_mistake_is_two_lines_and_status_2():
    done = run("merge", "no/such.yaml")
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "error: no recipe at no/such.yaml",
        "  fix: give the path of a YAML file, such as recipes/tiny/math.yaml",
    ]


def test_debug_shows_the_traceback_wherever_it_stands():
    for done in (run("merge", "no/such.yaml", "--debug"), run("merge", "no/such.yaml", LIPO_DEBUG="1")):
        assert done.returncode == 1
        assert "Traceback" in done.stderr
