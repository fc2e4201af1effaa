import itertools
import json
import os
import subprocess
import sys
import time
import uuid
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

MARK = "LIPO_TEST_MARK"


class Command:
    """A ``lipo`` command in a directory of its own, whose whole process family can be recognised."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.mark = uuid.uuid4().hex
        self.log = directory / "output.txt"

    def start(self, *arguments: str) -> subprocess.Popen:
        return self.start_program(str(Path(sys.executable).parent / "lipo"), *arguments)

    def start_program(self, *command: str, **variables: str) -> subprocess.Popen:
        environment = os.environ | {MARK: self.mark, "COLUMNS": "200"} | variables
        with self.log.open("ab") as output:
            return subprocess.Popen(
                command,
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


def estimates(rule, file, tokens, max_length):
    """A rule's estimates from the texts and rewards that verl dumped for one step, and how many tokens they had in all.

    A text does not always tell how many tokens it was sampled as (hidden special tokens, an unusual split): where
    some are missing, every row that may have had them is tried.
    """
    from transformers import AutoTokenizer

    from lipo.groups import group_ids
    from recipes.tiny.train_base import BASE

    tokenizer = AutoTokenizer.from_pretrained(BASE)
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    lengths = [min(len(tokenizer(row["output"])["input_ids"]) + 1, max_length) for row in rows]
    scores = torch.tensor([row["score"] for row in rows])
    groups = group_ids(np.array([row["uid"].split("_")[0] for row in rows], dtype=object))
    missing = tokens - sum(lengths)
    assert abs(missing) <= 3, f"{missing} tokens more than the texts show"
    for places in itertools.combinations_with_replacement(range(len(rows)), abs(missing)):
        longer = torch.tensor(lengths)
        for place in places:
            longer[place] += 1 if missing > 0 else -1
        yield rule(scores, longer, groups, rule.config(max_length=max_length))


def agrees(values, estimate):
    """Whether verl logged the advantages and the statistics of an estimate."""
    advantages, statistics = estimate
    logged = {name: value for name, value in values.items() if name.startswith("lipo/")}
    return (
        values["critic/advantages/max"] == pytest.approx(float(advantages.max()), abs=1e-3)
        and values["critic/advantages/min"] == pytest.approx(float(advantages.min()), abs=1e-3)
        and logged == pytest.approx({f"lipo/{name}": value for name, value in statistics.items()}, abs=1e-5)
    )


@pytest.fixture(scope="session")
def used_in():
    """Whether a step of verl's used a rule: its logged values against what the dumped rollouts give."""

    def check(rule, values, file, rows, max_length):
        tokens = round(values["response_length/mean"] * rows)
        return any(agrees(values, estimate) for estimate in estimates(rule, file, tokens, max_length))

    return check


@pytest.fixture
def command(tmp_path):
    command = Command(tmp_path)
    yield command
    for process in command.family():
        process.kill()


@pytest.fixture(scope="module")
def new_command(tmp_path_factory):
    """Makes commands that outlive a single test."""
    made = []

    def make():
        made.append(Command(tmp_path_factory.mktemp("command")))
        return made[-1]

    yield make
    for command in made:
        for process in command.family():
            process.kill()
