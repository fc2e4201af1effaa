"""From stored answers to the figures of a study of merging."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from recipes.tiny.merge_study.config import MergeStudy, expert
from recipes.tiny.merge_study.runs import label_of, norm_ratio, read_scores
from recipes.tiny.study.bootstrap import interval, resample
from recipes.tiny.study.config import BASE

AVERAGE = "average"
"""All tasks, of equal weight; items with the same number are drawn together."""


def collect(study: MergeStudy, scales: Mapping[int, Mapping[str, float]]) -> dict[str, Any]:
    """Compute all figures; intervals as in :mod:`recipes.tiny.study`.

    Args:
        study: What was compared, evaluated to its end.
        scales: Chosen scales: seed → method → scale.

    Returns:
        Plain data: ``scales``, ``norm_ratios``, ``validation``, ``verdicts``, and ``models`` → task or ``average`` →
        figures; ``difference`` is the accuracy less the reference's.
    """
    labels = [BASE, *(expert(task) for task in study.tasks), *study.others, *map(label_of, study.methods)]
    scores = {label: np.stack([read_scores(study, "test", s, label) for s in study.seeds]) for label in labels}
    reference = scores[label_of(study.reference)]
    return {
        "scales": {name: [scales[seed][name] for seed in study.seeds] for name in study.methods},
        "norm_ratios": {
            name: [norm_ratio(study, seed, name, scales[seed][name]) for seed in study.seeds] for name in study.methods
        },
        "validation": {name: _by_scale(study, name) for name in study.methods},
        "models": {label: _figures(study, scores[label], reference) for label in labels},
        "verdicts": _verdicts(study, scores) if study.subject else [],
    }


def _by_scale(study: MergeStudy, method: str) -> list[dict[str, float]]:
    """Mean accuracy and tokens over tasks, validation items and seeds, for every scale."""
    result = []
    for scale in study.scales:
        label = label_of(method, scale)
        means = [read_scores(study, "validation", seed, label).mean((0, 1)) for seed in study.seeds]
        accuracy, tokens = np.mean(means, axis=0)
        result.append({"scale": scale, "accuracy": round(float(accuracy), 6), "tokens": round(float(tokens), 6)})
    return result


def _verdicts(study: MergeStudy, scores: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    """The subject against every other method and model on average, and against each expert on the expert's task."""
    ours = scores[label_of(str(study.subject))]
    others = [BASE, *study.others, *(label_of(name) for name in study.methods if name != study.subject)]
    pairs = [(other, AVERAGE, ours.mean(1), scores[other].mean(1)) for other in others]
    pairs += [(expert(task), task, ours[:, i], scores[expert(task)][:, i]) for i, task in enumerate(study.tasks)]
    verdicts = []
    for other, task, mine, theirs in pairs:
        drawn, point = resample(mine) - resample(theirs), (mine - theirs).mean((0, 1))
        ratio = resample(mine)[:, 1] / resample(theirs)[:, 1]
        difference = interval(point[0], drawn[:, 0])
        verdicts.append(
            {
                "method": label_of(str(study.subject)),
                "other": other,
                "task": task,
                "accuracy_difference": difference,
                "token_ratio": interval(mine[..., 1].mean() / theirs[..., 1].mean(), ratio),
                "no_worse": difference["low"] >= -study.margin,
                "better": difference["low"] > 0,
            }
        )
    return verdicts


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
