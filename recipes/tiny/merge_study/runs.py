"""Merges in this process, as a command takes longer to start than most merges take; evaluates with ``lipo eval``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lipo.common import LipoError, atomic_write, parse
from merge import MergeConfig
from merge import run as run_merge
from merge.methods import get_method
from recipes.tiny.merge_study.config import MergeStudy, expert, experts, sources
from recipes.tiny.study.commands import lipo, python
from recipes.tiny.study.config import BASE
from recipes.tiny.study.files import read_rows
from recipes.tiny.study.runs import MODEL


def label_of(method: str, scale: float | None = None) -> str:
    """Label of a method's merge among the evaluated models; with a scale, among those to choose from."""
    return f"merged_{method}" if scale is None else f"merged_{method}-{scale:g}"


def untuned(method: str) -> str:
    """Label of a method's merge with the scale that ``lipo merge`` takes by default."""
    return f"{label_of(method)}-default"


def default_scales(study: MergeStudy) -> dict[str, float]:
    """The scale of every method that a user gets who chooses none."""
    return {name: _default_scale(study, name) for name in study.methods}


def make_data(study: MergeStudy) -> None:
    """Write the items; the three splits share no content."""
    sizes = (f"--validation={study.validation_items}", f"--test={study.test_items}")
    python("-m", "recipes.tiny.make_data", "--out", str(_data(study)), *sizes)


def merge_all(study: MergeStudy, seed: int) -> dict[str, Path]:
    """Merge with every method and scale, the method's default among them.

    The scale is a factor on the merged change, in every method: only the merge with the default one is the method's
    own, and the others are that change, multiplied.

    Returns:
        Label ``<method>-<scale>`` → directory.
    """
    models = {}
    for name, options in study.methods.items():
        default = _default_scale(study, name)
        for scale in dict.fromkeys((default, *study.scales)):
            if scale == default:
                own = {key: value for key, value in options.items() if key != "method"}
                recipe = {"method": options["method"], "experts": sources(study, seed), "options": own}
            else:
                whole = {name: str(_merged(study, seed, name, default))}
                recipe = {"method": "task_arithmetic", "experts": whole, "options": {"scale": scale / default}}
            label, out = label_of(name, scale), _merged(study, seed, name, scale)
            run_merge(parse(MergeConfig, recipe | {"base": MODEL, "out": str(out), "seed": seed}, label))
            print(label, flush=True)
            models[label] = out
    return models


def evaluate(study: MergeStudy, split: str, seed: int, models: Mapping[str, str | Path]) -> None:
    """Answer items with the base and with ``models``.

    Args:
        study: What is compared.
        split: ``validation``; ``test``, the held-out items; or the name of a model beside the merges, for which they
            are answered apart.
        seed: Of the experts and of sampling.
        models: Label → directory.
    """
    items = "validation" if split == "validation" else "test"
    recipe = {
        "title": f"{study.title}: {split}, seed {seed}",
        "out": str(_answers(study, split, seed)),
        "baseline": BASE,
        "models": {BASE: MODEL} | {label: str(path) for label, path in models.items()},
        "benchmarks": {t: {"source": f"{_data(study)}/{t}_{items}.parquet", "scorer": t} for t in study.tasks},
        "sampling": {
            "temperature": 1.0,
            "max_tokens": 288,
            "samples": 1 if split == "validation" else study.samples,
            "seed": seed,
        },
        "engine": {"dtype": "float32", "max_model_len": 384},
    }
    lipo("eval", str(_write(study.out / "recipes" / f"{seed}-{split}.yaml", recipe)))


def choose_scales(study: MergeStudy, seed: int) -> dict[str, float]:
    """Choose every method's scale by its mean accuracy over the validation items; of equals, the fewest tokens."""

    def merit(name: str, scale: float) -> tuple[float, float]:
        scores = read_scores(study, "validation", seed, label_of(name, scale)).mean((0, 1))
        return float(scores[0]), -float(scores[1])

    return {name: max(study.scales, key=lambda scale: merit(name, scale)) for name in study.methods}


def compared(study: MergeStudy, seed: int, scales: Mapping[str, float]) -> dict[str, str | Path]:
    """Models of the comparison: experts, and of every method the merges with the chosen and the default scale."""
    defaults = {name: scale for name, scale in default_scales(study).items() if scale != scales[name]}
    return (
        experts(study, seed)
        | {label_of(name): _merged(study, seed, name, scale) for name, scale in scales.items()}
        | {untuned(name): _merged(study, seed, name, scale) for name, scale in defaults.items()}
    )


def norm_ratio(study: MergeStudy, seed: int, method: str, scale: float) -> float:
    """‖merged change‖ / mean ‖expert's change‖, the median over the method's tensors, from the merge's manifest."""
    default = _default_scale(study, method)
    manifest = _merged(study, seed, method, default) / "manifest.json"
    return float(json.loads(manifest.read_text("utf-8"))["summary"]["median_norm_ratio"]) * scale / default


def measure(study: MergeStudy, seed: int, scales: Mapping[str, float]) -> dict[str, Any]:
    """Collect what was measured of one seed.

    Args:
        study: What is compared, evaluated for this seed.
        seed: Of the experts.
        scales: The chosen ones, by method.

    Returns:
        Plain data: ``scales``, ``norm_ratios``, ``validation`` (method → scale → accuracy and tokens) and ``test``
        (label → task → item → accuracy and tokens); of a method whose default scale was chosen, both labels have the
        same answers.
    """
    evaluated = compared(study, seed, scales)
    answered = {label: label for label in labels(study) if label not in study.others}
    answered |= {untuned(name): untuned(name) if untuned(name) in evaluated else label_of(name) for name in scales}
    return {
        "scales": dict(scales),
        "norm_ratios": {name: norm_ratio(study, seed, name, scales[name]) for name in study.methods},
        "validation": {
            name: [
                read_scores(study, "validation", seed, label_of(name, scale)).mean((0, 1)).round(6).tolist()
                for scale in study.scales
            ]
            for name in study.methods
        },
        "test": {
            label: read_scores(study, "test", seed, source).round(6).tolist() for label, source in answered.items()
        },
    }


def labels(study: MergeStudy) -> list[str]:
    """Labels of the models that are compared on held-out items, of every method the one with the chosen scale."""
    return [BASE, *(expert(task) for task in study.tasks), *study.others, *map(label_of, study.methods)]


def read_scores(study: MergeStudy, split: str, seed: int, label: str) -> np.ndarray:
    """Accuracy and tokens of every item, (tasks, items, 2), averaged over an item's responses."""
    items, samples = (study.validation_items, 1) if split == "validation" else (study.test_items, study.samples)
    tasks = np.zeros((len(study.tasks), items, 2))
    for place, task in zip(tasks, study.tasks, strict=True):
        file = _answers(study, split, seed) / "scores" / label / f"{task}.jsonl"
        rows = read_rows(file)
        if len(rows) != items * samples:
            raise LipoError(f"{file} has {len(rows)} rows", "run the study to its end first")
        for row in rows:
            place[row["item"]] += np.array([row["correct"], row["tokens"]]) / samples
    return tasks


def _default_scale(study: MergeStudy, name: str) -> float:
    return float(get_method(study.methods[name]["method"]).parse_options({}, f"methods.{name}").scale)


def _merged(study: MergeStudy, seed: int, method: str, scale: float) -> Path:
    return study.out / "merged" / str(seed) / label_of(method, scale)


def _data(study: MergeStudy) -> Path:
    return study.out / f"data-{study.validation_items}-{study.test_items}"


def _answers(study: MergeStudy, split: str, seed: int) -> Path:
    return study.out / "eval" / f"{split}-{seed}"


def _write(file: Path, recipe: Mapping[str, Any]) -> Path:
    with atomic_write(file) as stream:
        json.dump(recipe, stream, indent=1)  # JSON is YAML.
    return file
