"""What a study of merging compares."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lipo.common import LipoError, option, sha256_file
from recipes.tiny.study.provenance import base_hash

_NAME = re.compile(r"[a-z][a-z0-9_]{0,40}")


@dataclass(frozen=True)
class MergeStudy:
    """Merge methods × scales × seeds; paths are relative to the working directory."""

    title: str = option(help="Heading of the results.")
    out: Path = option(help="Directory of data, merged models and answers; a second run continues there.")
    results: Path = option(help="Stem of the result files: <results>.json, .md and .svg; measurements in <results>/.")
    tasks: list[str] = option(help="Tasks of the experts: math, structured, ocr.")
    seeds: list[int] = option(help="Seeds of the experts' trainings; also of merging and of evaluation.")
    experts: str = option(
        help="Directory of an expert, with {task} and {seed} in it, and {training} where they differ."
    )
    methods: Mapping[str, Mapping[str, Any]] = option(help="Name to method and its options, without the scale.")
    reference: str = option(help="The method that the others are compared with.")
    scales: list[float] = option(help="Factors to choose from, for every method alike.")
    trainings: Mapping[str, str] = option(factory=dict, help="Task to what {training} in 'experts' is for it.")
    subject: str | None = option(
        None, help="The method whose verdicts against every other and against the experts are given; null: none."
    )
    others: Mapping[str, str] = option(
        factory=dict, help="Models to measure beside them: name to directory, with {seed} in it."
    )
    validation_items: int = option(100, help="Items per task by which the scale is chosen.", minimum=10)
    test_items: int = option(400, help="Held-out items per task.", minimum=10)
    samples: int = option(1, help="Responses per held-out item.", minimum=1)
    margin: float = option(0.01, help="Loss of accuracy that still counts as no worse.", minimum=0, maximum=1)


def check(study: MergeStudy, models: Iterable[str] | None = None) -> None:
    """Refuse what cannot work, before anything is merged.

    Args:
        study: As read.
        models: Directories of the models that are needed; null: all experts and others.

    Raises:
        LipoError: Nothing to compare, a name that cannot be a file's, or a model that is not there.
    """
    if not (study.tasks and study.seeds and study.methods and study.scales):
        raise LipoError("the study has no task, seed, method or scale", "name at least one of each")
    for key, name in (("reference", study.reference), ("subject", study.subject)):
        if name is not None and name not in study.methods:
            raise LipoError(f"{key} is '{name}'", f"use one of {', '.join(study.methods)}")
    for key, values in (("tasks", study.tasks), ("seeds", study.seeds), ("scales", study.scales)):
        if len(set(values)) < len(values):
            raise LipoError(f"{key} are {values}", "name each once")
    taken = {"base", "average", "seed", "test", "validation", *(expert(task) for task in study.tasks)}
    for name in (*study.tasks, *study.methods, *study.others):
        if not _NAME.fullmatch(name) or name in taken:
            raise LipoError(f"'{name}' cannot name a task, method or model", "use letters, digits, '_'; none twice")
    if set(study.trainings) != (set(study.tasks) if "{training}" in study.experts else set()):
        raise LipoError(
            f"trainings are those of {', '.join(study.trainings) or 'no task'}, experts {study.experts}",
            "name one for each task, and {training} in experts; or neither",
        )
    for name, options in study.methods.items():
        if "method" not in options or "scale" in options:
            raise LipoError(f"methods.{name} has no method, or a scale", "write method: NAME; scales are the study's")
    if models is None:
        models = (
            place for seed in study.seeds for place in (*experts(study, seed).values(), *others(study, seed).values())
        )
    for place in models:
        if not (Path(place) / "config.json").is_file():
            raise LipoError(f"no model in {place}", "train it first, see the head of the study's recipe")


def expert(task: str) -> str:
    """Label of a task's expert."""
    return f"{task}_expert"


def experts(study: MergeStudy, seed: int) -> dict[str, str]:
    """Label → directory of the experts."""
    return {expert(task): place for task, place in sources(study, seed).items()}


def sources(study: MergeStudy, seed: int) -> dict[str, str]:
    """Task → directory of its expert."""
    return {
        task: study.experts.format(task=task, seed=seed, training=study.trainings.get(task)) for task in study.tasks
    }


def others(study: MergeStudy, seed: int) -> dict[str, str]:
    """Label → directory of the models that are measured beside the merges."""
    return {name: pattern.format(seed=seed) for name, pattern in study.others.items()}


def kept_file(study: MergeStudy, seed: int, other: str = "seed") -> Path:
    """Where the measurements of one seed's merges are kept, or those of a model beside them."""
    return study.results / f"{other}-{seed}.json"


def settings(study: MergeStudy, seed: int) -> dict[str, Any]:
    """All that a seed's measurements depend on; null for the weights of a model that is not on this machine."""
    return {
        "base": base_hash(),
        "seed": seed,
        "tasks": study.tasks,
        "methods": study.methods,
        "scales": study.scales,
        "items": [study.validation_items, study.test_items],
        "samples": study.samples,
        **{f"weights of {label}": _weights(Path(place)) for label, place in experts(study, seed).items()},
    }


def other_settings(study: MergeStudy, seed: int, other: str) -> dict[str, Any]:
    """All that the measurements of a model beside the merges depend on; null for weights as in :func:`settings`."""
    return {
        "seed": seed,
        "tasks": study.tasks,
        "items": [study.validation_items, study.test_items],
        "samples": study.samples,
        "weights": _weights(Path(others(study, seed)[other])),
    }


def _weights(model: Path) -> dict[str, str] | None:
    """SHA-256 of a model's files of weights."""
    return {file.name: sha256_file(file) for file in sorted(model.glob("*.safetensors"))} or None
