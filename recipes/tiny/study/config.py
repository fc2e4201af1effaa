"""What a study compares."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from lipo.common import LipoError, option
from lipo.common.config import nearest

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_]{0,40}")

MIXTURE = "mixture"
PARTS = ("math", "structured", "ocr")
VIDEO = "video"

BASE = "base"
COLD_START = "cold_start"
"""What trainings start from, measured like theirs."""


@dataclass(frozen=True)
class Study:
    """Training methods × tasks × seeds; paths are relative to the working directory."""

    title: str = option(help="Heading of the results.")
    out: Path = option(help="Directory of data, trainings and answers; a second run continues there.")
    results: Path = option(help="Stem of the result files: <results>.json, .md and .svg; measurements in <results>/.")
    tasks: list[str] = option(
        help="Recipes of recipes/tiny: math, structured, ocr, mixture, which is all three, or video."
    )
    seeds: list[int] = option(help="Seeds of the order of prompts and of evaluation; one training per seed.")
    methods: dict[str, list[str]] = option(help="Name to Hydra overrides.")
    reference: str = option(help="The method that the others are compared with.")
    subject: str | None = option(
        None, help="The method whose verdicts against every other are given; null: of every method, against reference."
    )
    only: list[str] = option(
        factory=list, help="Methods to train and compare, beside reference and subject; empty for all."
    )
    overrides: list[str] = option(factory=list, help="Hydra overrides of every training.")
    cold_start: list[str] | None = option(
        None,
        help="Hydra overrides of a supervised training, recipes/tiny/<task>_sft.yaml, that the others start from and "
        "that is measured, too; null: they start from the base.",
    )
    data: dict[str, int] = option(factory=dict, help="Sizes of splits, for the generator of the data.")
    trainings: Path | None = option(
        None, help="Directory of another study, with which trainings of equal settings are shared; null: out."
    )
    measurements: Path | None = option(
        None, help="Stem of that study's result files: what was measured of shared trainings is taken from there."
    )
    jobs: int = option(1, help="Trainings at a time; each takes about 7.5 GB of memory.", minimum=1, maximum=16)
    test_items: int = option(400, help="Held-out items per task.", minimum=10)
    samples: int = option(1, help="Responses per held-out item.", minimum=1)
    margin: float = option(0.01, help="Loss of accuracy that still counts as no worse.", minimum=0, maximum=1)


@dataclass(frozen=True)
class Run:
    """One training of a study, or an untrained model in its place."""

    task: str
    method: str
    seed: int

    @property
    def name(self) -> str:
        """Unique within the study."""
        return f"{self.task}-{self.method}-{self.seed}"


def selected(study: Study) -> Study:
    """Leave out the methods that ``only`` does not name.

    Raises:
        LipoError: It names one that the study does not have.
    """
    for name in study.only:
        if name not in study.methods:
            raise LipoError(f"only names '{name}'", nearest(name, list(study.methods)))
    wanted = {*study.only, study.reference, study.subject} if study.only else set(study.methods)
    return replace(study, methods={name: value for name, value in study.methods.items() if name in wanted})


def untrained(study: Study) -> tuple[str, ...]:
    """Models that are measured beside those of the methods."""
    return (BASE,) if study.cold_start is None else (BASE, COLD_START)


def measures(study: Study) -> tuple[str, ...]:
    """What is measured of every response."""
    return ("accuracy", "tokens", "reflections") if VIDEO in study.tasks else ("accuracy", "tokens")


def parts(task: str) -> tuple[str, ...]:
    """Tasks whose items a task trains and is tested on."""
    return PARTS if task == MIXTURE else (task,)


def response_limit(task: str) -> int:
    """Tokens that a response may have: ``data.max_response_length`` of the task's recipe."""
    return 256 if task == VIDEO else 288


def check(study: Study) -> list[Run]:
    """List the trainings: the first seed of every task before the second of any, the reference's first.

    Raises:
        LipoError: Nothing to compare, or a name that cannot be a file's.
    """
    if not (study.tasks and study.seeds and study.methods):
        raise LipoError("the study has no task, seed or method", "name at least one of each")
    for key, name in (("reference", study.reference), ("subject", study.subject)):
        if name is not None and name not in study.methods:
            raise LipoError(f"{key} is '{name}'", f"use one of {', '.join(study.methods)}")
    if (VIDEO in study.tasks or study.cold_start is not None) and study.tasks != [VIDEO]:
        raise LipoError(f"tasks are {study.tasks}", f"give '{VIDEO}' a study of its own; no other has a cold start")
    for name in (*study.tasks, *study.methods):
        if not _NAME.fullmatch(name) or name in (BASE, COLD_START):
            raise LipoError(f"'{name}' is no name of a task or method", "use letters, digits and '_'")
    for key, values in (("tasks", study.tasks), ("seeds", study.seeds)):
        if len(set(values)) < len(values):
            raise LipoError(f"{key} are {values}", "name each once")
    methods = sorted(study.methods, key=lambda name: name != study.reference)
    return [Run(task, method, seed) for seed in study.seeds for task in study.tasks for method in methods]


def everything(study: Study) -> list[Run]:
    """The trainings, and the models beside them."""
    beside = [Run(task, model, seed) for task in study.tasks for model in untrained(study) for seed in study.seeds]
    return [*check(study), *beside]
