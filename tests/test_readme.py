"""What the README names must exist."""

import dataclasses
import os
import re
import subprocess
from pathlib import Path

import pytest
from typer.main import get_command

from lipo.cli._app import app
from lipo.estimators import RULES
from merge.methods import get_method

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")


def make(*arguments):
    # As from a shell, also where make itself runs these tests.
    environment = {
        name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")
    }
    command = ["make", "-n", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\bmake (\w+)\b(?= +#|`)", README))))
def test_make_targets(target):
    assert "install/environment.py" in make(target)


def test_the_two_commands():
    assert "    make demo " in README
    assert "    make test " in README
    assert make("demo").splitlines()[-1] == ".venv/bin/lipo demo"
    commands = make("test").splitlines()
    assert [line.rpartition("-m ")[2] for line in commands[-2:]] == ['"not slow"', "slow"]
    assert any("ruff check" in line for line in commands)
    assert any("mypy" in line for line in commands)
    assert make("install", "PYTHON=/opt/python3.12").strip() == (
        "/opt/python3.12 install/environment.py --python=/opt/python3.12"
    )
    assert (ROOT / ".ci" / "run").read_text("utf-8").rstrip().endswith("exec make test </dev/null")
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111


def test_commands_and_recipes():
    named = set(re.findall(r"(?:`|^    )lipo ([a-z]+)", README, re.MULTILINE))
    assert named == set(get_command(app).commands)
    recipes = set(re.findall(r"recipes/[\w/]+\.yaml", README))
    assert recipes
    assert all((ROOT / recipe).is_file() for recipe in recipes)


def test_options_and_rules():
    options = {field.name for field in dataclasses.fields(RULES["lipo"].config)}
    options |= {field.name for field in dataclasses.fields(get_method("amm").options)} | {"rules"}
    table = README.partition("| open in the paper |")[2].partition("\n\n")[0]
    named = re.findall(r"`(\w+)`", "\n".join(row.rstrip("|").rpartition("|")[2] for row in table.splitlines()))
    assert len(named) >= 9
    assert set(named) <= options
    assert set(re.findall(r"adv_estimator=(\w+)", README)) <= {*RULES, "grpo"}
    assert "Sixteen other length rules" in README
    # Besides LIPO there is one more, grpo_noise, without a length term.
    assert len(RULES) == 1 + 16 + 1
