"""From stored answers to the figures of a study of merging."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from recipes.tiny.merge_study.config import MergeStudy, expert
from recipes.tiny.merge_study.runs import default_scales, label_of, labels, untuned
from recipes.tiny.study.bootstrap import interval, resample
from recipes.tiny.study.config import BASE

AVERAGE = "average"
"""All tasks, of equal weight; items with the same number are drawn together."""


def collect(study: MergeStudy, measured: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    """Compute all figures; intervals as in :mod:`recipes.tiny.study`.

    Args:
        study: What was compared.
        measured: Seed → what :func:`recipes.tiny.merge_study.runs.measure` gives, with the others among ``test``.

    Returns:
        Plain data: ``scales``, ``norm_ratios``, ``validation``, ``verdicts``, and ``models`` → task or ``average`` →
        figures; ``difference`` is the accuracy less the reference's. ``untuned`` has ``scales``, ``models`` and
        ``verdicts`` of the methods alone, each with its default scale.
    """
    seeds = [measured[seed] for seed in study.seeds]
    scores = {label: np.array([seed["test"][label] for seed in seeds]) for label in labels(study)}
    reference = scores[label_of(study.reference)]
    defaults = {name: np.array([seed["test"][untuned(name)] for seed in seeds]) for name in study.methods}
    return {
        "scales": {name: [seed["scales"][name] for seed in seeds] for name in study.methods},
        "norm_ratios": {name: [seed["norm_ratios"][name] for seed in seeds] for name in study.methods},
        "validation": {
            name: _by_scale(study, np.mean([seed["validation"][name] for seed in seeds], axis=0))
            for name in study.methods
        },
        "models": {label: _figures(study, array, reference) for label, array in scores.items()},
        "verdicts": _verdicts(study, scores) if study.subject else [],
        "untuned": {
            "scales": default_scales(study),
            "models": {name: _figures(study, array, defaults[study.reference]) for name, array in defaults.items()},
            "verdicts": _verdicts_on_average(study, defaults, str) if study.subject else [],
        },
    }


def _by_scale(study: MergeStudy, means: np.ndarray) -> list[dict[str, float]]:
    """Mean accuracy and tokens over tasks, validation items and seeds, for every scale."""
    return [
        {"scale": scale, "accuracy": round(float(accuracy), 6), "tokens": round(float(tokens), 6)}
        for scale, (accuracy, tokens) in zip(study.scales, means, strict=True)
    ]


def _verdicts(study: MergeStudy, scores: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    """The subject against every other method and model on average, and against each expert on the expert's task."""
    method = label_of(str(study.subject))
    return [
        *_verdicts_on_average(study, scores, label_of, (BASE, *study.others)),
        *(
            _verdict(study, (method, expert(task)), task, scores[method][:, i], scores[expert(task)][:, i])
            for i, task in enumerate(study.tasks)
        ),
    ]


def _verdicts_on_average(
    study: MergeStudy, scores: Mapping[str, np.ndarray], label: Callable[[str], str], models: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """The subject against ``models`` and every other method, over all tasks."""
    method = label(str(study.subject))
    others = [*models, *(label(name) for name in study.methods if name != study.subject)]
    ours = scores[method].mean(1)
    return [_verdict(study, (method, other), AVERAGE, ours, scores[other].mean(1)) for other in others]


def _verdict(
    study: MergeStudy, names: tuple[str, str], task: str, mine: np.ndarray, theirs: np.ndarray
) -> dict[str, Any]:
    """One model against another, from (seeds, items, 2) each."""
    mine_drawn, theirs_drawn = resample(mine), resample(theirs)
    difference = interval((mine - theirs)[..., 0].mean(), mine_drawn[:, 0] - theirs_drawn[:, 0])
    ratio = interval(mine[..., 1].mean() / theirs[..., 1].mean(), mine_drawn[:, 1] / theirs_drawn[:, 1])
    return {
        "method": names[0],
        "other": names[1],
        "task": task,
        "accuracy_difference": difference,
        "token_ratio": ratio,
        "no_worse": difference["low"] >= -study.margin,
        "better": difference["low"] > 0,
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
