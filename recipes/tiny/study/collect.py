"""From stored answers and training metrics to the figures of a study."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lipo.common import LipoError
from lipo.training import read_history
from recipes.tiny.study.bootstrap import interval, resample
from recipes.tiny.study.config import Run, Study, measures, parts, response_limit, untrained
from recipes.tiny.study.contents import contents
from recipes.tiny.study.files import read_rows
from recipes.tiny.study.runs import answers_directory, training_directory

ALL = "all tasks"
"""The mean over tasks, of equal weight; the items of each are drawn for themselves."""

LAST_STEPS = 10
SMOOTH = 5
"""Steps whose mean is taken as the tokens at one step."""

# Of dynamic sampling: prompts whose responses are all alike, and those that came after the batch was full.
_DROPPED = ("evicted", "discarded_surplus")

# 0.9 for a right answer that breaks the format; at most 0.85 for a wrong one (a code with one error in six).
_RIGHT = 0.875


def measure(study: Study, run: Run) -> dict[str, Any]:
    """Collect what was measured of a model and its training.

    Args:
        study: What is compared.
        run: One of its trainings, finished and evaluated, or an untrained model.

    Returns:
        Plain data: ``items``, what is measured of every held-out item; ``curve``, a training's steps.
    """
    directory = answers_directory(study, run.task, run.seed)
    items = np.concatenate([_read(study, directory, run.method, part) for part in parts(run.task)])
    return {"items": items.round(6).tolist(), "curve": [] if run.method in untrained(study) else _curve(study, run)}


def collect(study: Study, measured: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Compute all figures.

    Accuracy, tokens, of video also reflections, and comparisons are means over seeds and held-out items. Intervals
    (95 %) come from a bootstrap that draws seeds and contents of items with replacement, the same ones for all methods
    (paired); with one seed they speak of the items only.

    Args:
        study: What was compared.
        measured: From :func:`measure`, by name, for all of its trainings and untrained models.

    Returns:
        Plain data: ``tasks`` → method → figures, with :data:`ALL` last where there are several; ``verdicts`` → task →
        list; ``training`` → task → method → tokens of the last and of all
        steps, when they are halved, the share cut off and responses per step; ``curves`` → run → steps.
    """
    methods = (*untrained(study), *study.methods)
    by_seed, drawn = {}, {}
    for task in study.tasks:
        items = {
            method: np.array([measured[Run(task, method, seed).name]["items"] for seed in study.seeds])
            for method in methods
        }
        by_seed[task] = {method: values.mean(1) for method, values in items.items()}
        drawn[task] = {method: _resample(study, task, values) for method, values in items.items()}
    if len(study.tasks) > 1:
        for group in (by_seed, drawn):
            group[ALL] = {method: np.mean([group[task][method] for task in study.tasks], axis=0) for method in methods}
    tables = {task: _table(study, by_seed[task], drawn[task]) for task in drawn}
    curves = {name: found["curve"] for name, found in measured.items() if found["curve"]}
    return {
        "tasks": {task: table for task, (table, _) in tables.items()},
        "verdicts": {task: verdicts for task, (_, verdicts) in tables.items()},
        "training": {task: _training_tokens(study, task, curves) for task in study.tasks},
        "curves": curves,
    }


def _read(study: Study, directory: Path, method: str, task: str) -> np.ndarray:
    """What is measured of every held-out item, (items, measures), averaged over an item's responses."""
    file = directory / "scores" / method / f"{task}.jsonl"
    rows = read_rows(file)
    if len(rows) != study.test_items * study.samples:
        raise LipoError(f"{file} has {len(rows)} rows", "run the study to its end first")
    keys = ["correct" if name == "accuracy" else name for name in measures(study)]
    items = np.zeros((study.test_items, len(keys)))
    for row in rows:
        items[row["item"]] += np.array([row[key] for key in keys]) / study.samples
    return items


def _resample(study: Study, task: str, values: np.ndarray) -> np.ndarray:
    """Draws of (seeds, items, measures), the items of each part of a task for themselves."""
    names = parts(task)
    return np.mean(
        [
            resample(items, contents(name, study.test_items), name)
            for name, items in zip(names, np.split(values, len(names), axis=1), strict=True)
        ],
        axis=0,
    )


def _table(
    study: Study, by_seed: Mapping[str, np.ndarray], drawn: Mapping[str, np.ndarray]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Figures of every method, and the verdicts, from means by seed, (seeds, measures), and (draws, measures) each."""
    point = {method: values.mean(0) for method, values in by_seed.items()}

    def comparison(method: str, other: str) -> dict[str, Any]:
        difference = interval(point[method][0] - point[other][0], drawn[method][:, 0] - drawn[other][:, 0])
        return {
            "accuracy_difference": difference,
            "token_ratio": interval(point[method][1] / point[other][1], drawn[method][:, 1] / drawn[other][:, 1]),
            "no_worse": difference["low"] >= -study.margin,
        }

    shares = dict(zip(drawn, _on_front(np.stack(list(drawn.values()))[..., :2]).mean(1), strict=True))
    front = dict(zip(drawn, _on_front(np.stack(list(point.values()))[:, None, :2])[:, 0], strict=True))
    table: dict[str, Any] = {}
    for method in drawn:
        table[method] = {
            name: interval(point[method][i], drawn[method][:, i]) for i, name in enumerate(measures(study))
        }
        table[method] |= {
            "per_seed": [dict(zip(measures(study), map(float, seed), strict=True)) for seed in by_seed[method]],
            "on_front": bool(front[method]),
            "front_share": float(shares[method]),
        }
        if method != study.reference:
            table[method] |= comparison(method, study.reference)
    subject = study.subject
    pairs = [(subject, m) for m in study.methods] if subject else [(m, study.reference) for m in study.methods]
    return table, [{"method": m, "other": o} | comparison(m, o) for m, o in pairs if m != o]


def _on_front(points: np.ndarray) -> np.ndarray:
    """Whether no other model has both at least the accuracy and at most the tokens, and is better in one.

    Args:
        points: (models, draws, 2), accuracy and tokens.

    Returns:
        (models, draws) bool.
    """
    # The order in which a processor adds must not decide between equals.
    accuracy, tokens = points[..., 0].round(9), points[..., 1].round(9)
    no_worse = (accuracy >= accuracy[:, None]) & (tokens <= tokens[:, None])
    better = (accuracy > accuracy[:, None]) | (tokens < tokens[:, None])
    dominated: np.ndarray = np.any(no_worse & better, axis=1)
    return ~dominated


def _curve(study: Study, run: Run) -> list[dict[str, float]]:
    """Mean response tokens, reward, accuracy, share cut off, responses sampled, reflections (video), of every step."""
    directory, curve = training_directory(study, run), []
    for entry in read_history(directory / "metrics"):
        rows = read_rows(directory / "rollouts" / f"{entry.step}.jsonl")
        prompts = len({row["uid"].rsplit("_", 2)[0] for row in rows})  # <prompt>_<response>_<turn>
        dropped = sum(entry.values.get(f"training/filter_groups/{kind}_samples", 0.0) for kind in _DROPPED)
        step = {
            "step": entry.step,
            "tokens": entry.response_length,
            "score": entry.score,
            "accuracy": sum(row["score"] > _RIGHT for row in rows) / len(rows),
            "cut_off": _cut_off(entry.values, response_limit(run.task)),
            "responses": len(rows) * (prompts + dropped) / prompts,
        }
        if "reflections" in measures(study):
            step["reflections"] = entry.values["reward/reflections"]
        curve.append(step)
    return curve


def _cut_off(values: Mapping[str, float], limit: int) -> float:
    """Share of the responses that end at the limit; verl's own ``clip_ratio`` is of those as long as the longest."""
    return values["response_length/clip_ratio"] if values["response_length/max"] >= limit else 0.0


def _training_tokens(
    study: Study, task: str, curves: dict[str, list[dict[str, float]]]
) -> dict[str, dict[str, dict[str, float] | None]]:
    """Of a training's mean response tokens: the last steps, all steps, the step at which they are halved.

    And the share of responses that are cut off in the last steps, and how many responses a step samples, with those
    that dynamic sampling drops. Each is the mean and range over seeds; where the tokens of some are never halved, over
    the others, with their number; null where those of none are.
    """

    def over_seeds(figure: Callable[[np.ndarray], float | None], key: str, method: str) -> dict[str, float] | None:
        values = [np.array([s[key] for s in curves[Run(task, method, seed).name]]) for seed in study.seeds]
        found = [value for value in map(figure, values) if value is not None]
        if not found:
            return None
        some = {"seeds": len(found)} if len(found) < len(study.seeds) else {}
        return {"value": float(np.mean(found)), "low": min(found), "high": max(found)} | some

    def last(values: np.ndarray) -> float:
        return float(values[-LAST_STEPS:].mean())

    figures: dict[str, tuple[Callable[[np.ndarray], float | None], str]] = {
        "last": (last, "tokens"),
        "all": (lambda tokens: float(tokens.mean()), "tokens"),
        "half": (_halved, "tokens"),
        "cut_off": (last, "cut_off"),
        "responses": (lambda responses: float(responses.mean()), "responses"),
    }
    return {
        method: {name: over_seeds(figure, key, method) for name, (figure, key) in figures.items()}
        for method in study.methods
    }


def _halved(tokens: np.ndarray) -> float | None:
    """The last of the first ``SMOOTH`` consecutive steps that take half of what the first ones took, on average."""
    if len(tokens) < SMOOTH:
        return None
    means = np.convolve(tokens, np.full(SMOOTH, 1 / SMOOTH), mode="valid")
    below = np.flatnonzero(means <= means[0] / 2)
    return float(below[0] + SMOOTH) if below.size else None
