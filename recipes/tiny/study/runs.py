"""Trains and evaluates, with the same commands that a user types."""

from __future__ import annotations

import json
from pathlib import Path

from lipo.common import atomic_write
from recipes.tiny.study.commands import lipo, python
from recipes.tiny.study.config import Run, Study

BASE = "base"
MODEL = "recipes/tiny/base"


def make_data(study: Study) -> None:
    """Write the tasks' data; held-out items come from seeds that training never uses."""
    python("-m", "recipes.tiny.make_data", "--out", str(_data(study)), f"--test={study.test_items}")


def train(study: Study, run: Run) -> None:
    """Train one model, or continue its training; returns at once where it is finished."""
    lipo("train", f"recipes/tiny/{run.task}.yaml", *training_overrides(study, run))


def training_overrides(study: Study, run: Run) -> list[str]:
    """Hydra overrides of one training."""
    data = _data(study)
    return [
        *study.overrides,
        *study.methods[run.method],
        f"data.seed={run.seed}",
        f"data.train_files={data}/{run.task}_train.parquet",
        f"data.val_files={data}/{run.task}_validation.parquet",
        f"trainer.experiment_name={run.name}",
        f"trainer.default_local_dir={training_directory(study, run)}",
        f"lipo.export={model_directory(study, run)}",
    ]


def evaluate(study: Study, runs: list[Run], task: str, seed: int) -> None:
    """Answer the held-out items of a task with the base and with every model of one seed."""
    models = {BASE: MODEL} | {
        r.method: str(model_directory(study, r)) for r in runs if (r.task, r.seed) == (task, seed)
    }
    recipe = {
        "title": f"{study.title}: {task}, seed {seed}",
        "out": str(answers_directory(study, task, seed)),
        "baseline": BASE,
        "models": models,
        "benchmarks": {task: {"source": f"{_data(study)}/{task}_test.parquet", "scorer": task}},
        "sampling": {"temperature": 1.0, "max_tokens": 288, "samples": study.samples, "seed": seed},
        "engine": {"dtype": "float32", "max_model_len": 384},
        "margin": study.margin,
    }
    file = study.out / f"eval-{task}-{seed}.yaml"
    with atomic_write(file) as stream:
        json.dump(recipe, stream, indent=1)  # JSON is YAML.
    lipo("eval", str(file))


def training_directory(study: Study, run: Run) -> Path:
    """Where verl's checkpoints and metrics are."""
    return study.out / "training" / run.name


def model_directory(study: Study, run: Run) -> Path:
    """Where the trained model is."""
    return study.out / "models" / run.name


def answers_directory(study: Study, task: str, seed: int) -> Path:
    """Where ``lipo eval`` keeps answers, scores and report."""
    return study.out / "eval" / f"{task}-{seed}"


def _data(study: Study) -> Path:
    return study.out / f"data-{study.test_items}"
