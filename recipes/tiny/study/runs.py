"""Trains and evaluates, with the same commands that a user types."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lipo.common import LipoError, atomic_write
from recipes.tiny.study.commands import lipo, lipo_side_by_side, python
from recipes.tiny.study.config import BASE, Run, Study, parts
from recipes.tiny.study.kept import keep, kept
from recipes.tiny.study.provenance import base_hash

MODEL = "recipes/tiny/base"


def make_data(study: Study) -> None:
    """Write the tasks' data; held-out items come from seeds that training never uses."""
    python("-m", "recipes.tiny.make_data", "--out", str(_data(study)), f"--test={study.test_items}")


def train_all(study: Study, runs: list[Run]) -> None:
    """Train what is not trained yet, or continue it.

    Raises:
        LipoError: A training failed, or one of the same name was made with other settings or from another base.
    """
    for run in runs:
        _keep_settings(study, run)
    left = [run for run in runs if not model_directory(study, run).is_dir()]
    print(f"{len(runs)} trainings, {len(runs) - len(left)} done before", flush=True)
    commands = {run.name: ("train", f"recipes/tiny/{run.task}.yaml", *training_overrides(study, run)) for run in left}
    if study.jobs > 1:
        lipo_side_by_side(commands, study.jobs, study.out / "logs")
        return
    for number, (name, arguments) in enumerate(commands.items(), 1):
        print(f"training {number} of {len(commands)}: {name}", flush=True)
        lipo(*arguments)


def settings(study: Study, run: Run) -> dict[str, Any]:
    """All that a training depends on."""
    result: dict[str, Any] = {"base": base_hash(), "seed": run.seed}
    for override in () if run.method == BASE else (*study.overrides, *study.methods[run.method]):
        key, _, value = override.lstrip("+").partition("=")
        result[key] = value
    return result


def measured(study: Study, run: Run) -> dict[str, Any] | None:
    """Return what was measured of a model and its training, here or elsewhere; null where it still has to be.

    Raises:
        LipoError: It was measured with other settings.
    """
    return kept(*_kept(study, run))


def keep_measured(study: Study, run: Run, found: Mapping[str, Any]) -> None:
    """Keep what was measured of a model and its training beside the results."""
    keep(*_kept(study, run), found)


def _kept(study: Study, run: Run) -> tuple[Path, dict[str, Any]]:
    answered = {"test_items": study.test_items, "samples": study.samples}
    return study.results / f"{run.name}.json", settings(study, run) | answered


def _keep_settings(study: Study, run: Run) -> None:
    """Write down what a training is made with, or compare with what it was made with."""
    now = settings(study, run)
    directory = training_directory(study, run)
    file = directory / "study.json"
    made = json.loads(file.read_text("utf-8")) if file.is_file() else None
    if made == now:
        return
    if made is not None or model_directory(study, run).exists():
        changed = sorted(key for key in {*now, *(made or {})} if (made or {}).get(key) != now.get(key))
        raise LipoError(
            f"{run.name} was trained with other settings ({', '.join(changed)})",
            f"remove {directory} and {model_directory(study, run)}, or choose another 'out'",
        )
    with atomic_write(file) as stream:
        json.dump(now, stream, indent=1)


def training_overrides(study: Study, run: Run) -> list[str]:
    """Hydra overrides of one training."""
    data, directory = _data(study), training_directory(study, run)
    train, validation = (
        ",".join(f"{data}/{part}_{split}.parquet" for part in parts(run.task)) for split in ("train", "validation")
    )
    return [
        *study.overrides,
        *study.methods[run.method],
        f"data.seed={run.seed}",
        f"data.train_files=[{train}]",
        f"data.val_files=[{validation}]",
        f"trainer.experiment_name={run.name}",
        f"trainer.default_local_dir={directory}",
        f"trainer.rollout_data_dir={directory}/rollouts",
        f"lipo.export={model_directory(study, run)}",
    ]


def evaluate(study: Study, runs: list[Run], task: str, seed: int) -> None:
    """Answer the held-out items of a task with the base and with every model of ``runs`` of one seed."""
    models = {BASE: MODEL} | {
        r.method: str(model_directory(study, r)) for r in runs if (r.task, r.seed) == (task, seed) and r.method != BASE
    }
    recipe = {
        "title": f"{study.title}: {task}, seed {seed}",
        "out": str(answers_directory(study, task, seed)),
        "baseline": BASE,
        "models": models,
        "benchmarks": {p: {"source": f"{_data(study)}/{p}_test.parquet", "scorer": p} for p in parts(task)},
        "sampling": {"temperature": 1.0, "max_tokens": 288, "samples": study.samples, "seed": seed},
        "engine": {"dtype": "float32", "max_model_len": 384},
        "margin": study.margin,
    }
    file = study.out / f"eval-{task}-{seed}.yaml"
    with atomic_write(file) as stream:
        json.dump(recipe, stream, indent=1)  # JSON is YAML.
    lipo("eval", str(file))


def training_directory(study: Study, run: Run) -> Path:
    """Where verl's checkpoints, metrics and rollouts are."""
    return (study.trainings or study.out) / "training" / run.name


def model_directory(study: Study, run: Run) -> Path:
    """Where the trained model is."""
    return (study.trainings or study.out) / "models" / run.name


def answers_directory(study: Study, task: str, seed: int) -> Path:
    """Where ``lipo eval`` keeps answers, scores and report."""
    return study.out / "eval" / f"{task}-{seed}"


def _data(study: Study) -> Path:
    return study.out / f"data-{study.test_items}"
