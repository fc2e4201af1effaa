"""Trains and evaluates, with the same commands that a user types."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lipo.common import LipoError, atomic_write, sha256_file
from recipes.tiny.study.commands import lipo, lipo_side_by_side, python
from recipes.tiny.study.config import BASE, COLD_START, VIDEO, Run, Study, parts, response_limit, untrained
from recipes.tiny.study.kept import keep, kept
from recipes.tiny.study.provenance import base_hash

MODEL = "recipes/tiny/base"


def make_data(study: Study) -> None:
    """Write the tasks' data; held-out items come from seeds that training never uses."""
    module = "recipes.tiny.make_video_data" if VIDEO in study.tasks else "recipes.tiny.make_data"
    sizes = study.data | {"test": study.test_items}
    python("-m", module, "--out", str(_data(study)), *(f"--{k.replace('_', '-')}={v}" for k, v in sizes.items()))


def train_cold_start(study: Study) -> None:
    """Train what the methods start from, where the study has a cold start and it is not there yet."""
    if study.cold_start is None:
        return
    directory, model = _directory(study, COLD_START), _model(study, COLD_START)
    _keep_settings(COLD_START, directory, model, _cold_start_settings(study))
    if not model.is_dir():
        lipo(
            "sft",
            f"recipes/tiny/{study.tasks[0]}_sft.yaml",
            *study.cold_start,
            f"data.train_files={_data(study)}/cold_start.parquet",
            f"trainer.default_local_dir={directory}",
            f"lipo.export={model}",
        )


def train_all(study: Study, runs: list[Run]) -> None:
    """Train what is not trained yet, or continue it.

    Raises:
        LipoError: A training failed, or one of the same name was made with other settings or from another base.
    """
    for run in runs:
        settings = _settings(study, run)
        if study.cold_start is not None:
            settings["base"] = sha256_file(_model(study, COLD_START) / "model.safetensors")
        _keep_settings(run.name, training_directory(study, run), model_directory(study, run), settings)
    left = [run for run in runs if not model_directory(study, run).is_dir()]
    print(f"{len(runs)} trainings, {len(runs) - len(left)} done before", flush=True)
    commands = {run.name: ("train", f"recipes/tiny/{run.task}.yaml", *training_overrides(study, run)) for run in left}
    if study.jobs > 1:
        lipo_side_by_side(commands, study.jobs, study.out / "logs")
        return
    for number, (name, arguments) in enumerate(commands.items(), 1):
        print(f"training {number} of {len(commands)}: {name}", flush=True)
        lipo(*arguments)


def measured(study: Study, run: Run) -> dict[str, Any] | None:
    """Return what was measured of a model and its training, here or elsewhere; null where it still has to be.

    Raises:
        LipoError: It was measured with other settings.
    """
    return kept(*_kept(study, run))


def keep_measured(study: Study, run: Run, found: Mapping[str, Any]) -> None:
    """Keep what was measured of a model and its training beside the results."""
    keep(*_kept(study, run), found)


def kept_file(study: Study, run: Run) -> Path:
    """Where what was measured of a model and its training is kept."""
    return _kept(study, run)[0]


def _kept(study: Study, run: Run) -> tuple[Path, dict[str, Any]]:
    places = [place / f"{run.name}.json" for place in (study.results, study.measurements) if place is not None]
    file = next(filter(Path.is_file, places), places[0])
    answered = {"test_items": study.test_items, "samples": study.samples}
    start = {} if study.cold_start is None or run.method == BASE else {"cold_start": _cold_start_settings(study)}
    return file, _settings(study, run) | answered | start


def _settings(study: Study, run: Run) -> dict[str, Any]:
    """All that a training depends on."""
    trained = run.method not in untrained(study)
    overrides = (*study.overrides, *study.methods[run.method]) if trained else ()
    # A cold start learns from them, too, and names them among its own.
    sizes = {"data": study.data} if study.data and study.cold_start is None else {}
    return {"base": base_hash(), "seed": run.seed} | sizes | _by_key(overrides)


def _cold_start_settings(study: Study) -> dict[str, Any]:
    sizes = [f"{split}={size}" for split, size in study.data.items()]
    return {"base": base_hash()} | _by_key([*(study.cold_start or ()), *sizes])


def _by_key(overrides: Iterable[str]) -> dict[str, str]:
    split = (override.lstrip("+").partition("=") for override in overrides)
    return {key: value for key, _, value in split}


def _keep_settings(name: str, directory: Path, model: Path, settings: dict[str, Any]) -> None:
    """Write down what a training is made with, or compare with what it was made with."""
    file = directory / "study.json"
    made = json.loads(file.read_text("utf-8")) if file.is_file() else None
    if made == settings:
        return
    if made is not None or model.exists():
        changed = sorted(key for key in {*settings, *(made or {})} if (made or {}).get(key) != settings.get(key))
        raise LipoError(
            f"{name} was trained with other settings ({', '.join(changed)})",
            f"remove {directory} and {model}, or choose another 'out'",
        )
    with atomic_write(file) as stream:
        json.dump(settings, stream, indent=1)


def training_overrides(study: Study, run: Run) -> list[str]:
    """Hydra overrides of one training."""
    directory = training_directory(study, run)
    train, validation = (
        ",".join(str(_file(study, part, split)) for part in parts(run.task)) for split in ("train", "validation")
    )
    start = [] if study.cold_start is None else [f"actor_rollout_ref.model.path={_model(study, COLD_START)}"]
    return [
        *start,
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
    """Answer the held-out items of a task with the base, the cold start if any, and the models of ``runs``."""
    models = {BASE: MODEL}
    if study.cold_start is not None:
        models[COLD_START] = str(_model(study, COLD_START))
    models |= {
        r.method: str(model_directory(study, r))
        for r in runs
        if (r.task, r.seed) == (task, seed) and r.method not in untrained(study)
    }
    recipe: dict[str, Any] = {
        "title": f"{study.title}: {task}, seed {seed}",
        "out": str(answers_directory(study, task, seed)),
        "baseline": BASE,
        "models": models,
        "benchmarks": {p: {"source": str(_file(study, p, "test")), "scorer": p} for p in parts(task)},
        "sampling": {"temperature": 1.0, "max_tokens": response_limit(task), "samples": study.samples, "seed": seed},
        "engine": {"dtype": "float32", "max_model_len": 448 if task == VIDEO else 384},
        "margin": study.margin,
    }
    file = study.out / f"eval-{task}-{seed}.yaml"
    with atomic_write(file) as stream:
        json.dump(recipe, stream, indent=1)  # JSON is YAML.
    lipo("eval", str(file))


def training_directory(study: Study, run: Run) -> Path:
    """Where verl's checkpoints, metrics and rollouts are."""
    return _directory(study, run.name)


def model_directory(study: Study, run: Run) -> Path:
    """Where the trained model is."""
    return _model(study, run.name)


def answers_directory(study: Study, task: str, seed: int) -> Path:
    """Where ``lipo eval`` keeps answers, scores and report."""
    return study.out / "eval" / f"{task}-{seed}"


def _directory(study: Study, name: str) -> Path:
    return (study.trainings or study.out) / "training" / name


def _model(study: Study, name: str) -> Path:
    return (study.trainings or study.out) / "models" / name


def _file(study: Study, part: str, split: str) -> Path:
    return _data(study) / (f"{split}.parquet" if part == VIDEO else f"{part}_{split}.parquet")


def _data(study: Study) -> Path:
    sizes = "".join(f"-{split}{size}" for split, size in sorted(study.data.items()))
    return study.out / f"data-{study.test_items}{sizes}"
