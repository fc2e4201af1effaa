"""From stored answers to the figures of a study of merging."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from recipes.tiny.merge_study.config import MergeStudy, expert
from recipes.tiny.merge_study.runs import default_scales, label_of, labels, untuned
from recipes.tiny.study.bootstrap import interval, resample
from recipes.tiny.study.config import BASE
from recipes.tiny.study.contents import contents

AVERAGE = "average"
"""All tasks, of equal weight; the items of each are drawn for themselves."""


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
    views = {label: _views(study, [seed["test"][label] for seed in seeds]) for label in labels(study)}
    reference = views[label_of(study.reference)]
    defaults = {name: _views(study, [seed["test"][untuned(name)] for seed in seeds]) for name in study.methods}
    return {
        "scales": {name: [seed["scales"][name] for seed in seeds] for name in study.methods},
        "norm_ratios": {name: [seed["norm_ratios"][name] for seed in seeds] for name in study.methods},
        "validation": {
            name: _by_scale(study, np.mean([seed["validation"][name] for seed in seeds], axis=0))
            for name in study.methods
        },
        "models": {label: _figures(found, reference) for label, found in views.items()},
        "verdicts": _verdicts(study, views) if study.subject else [],
        "untuned": {
            "scales": default_scales(study),
            "models": {name: _figures(found, defaults[study.reference]) for name, found in defaults.items()},
            "verdicts": _verdicts_on_average(study, defaults, str) if study.subject else [],
        },
    }


def _by_scale(study: MergeStudy, means: np.ndarray) -> list[dict[str, float]]:
    """Mean accuracy and tokens over tasks, validation items and seeds, for every scale."""
    return [
        {"scale": scale, "accuracy": round(float(accuracy), 6), "tokens": round(float(tokens), 6)}
        for scale, (accuracy, tokens) in zip(study.scales, means, strict=True)
    ]


Views = dict[str, tuple[np.ndarray, np.ndarray]]
"""Task or ``average`` → accuracy and tokens, (2,), and their bootstrap samples, (draws, 2), of one model."""


def _views(study: MergeStudy, answers: Sequence[Any]) -> Views:
    """From (seeds, tasks, items, 2)."""
    by_task = np.array(answers).swapaxes(0, 1)
    views = {
        task: (values.mean((0, 1)), resample(values, contents(task, study.test_items), task))
        for task, values in zip(study.tasks, by_task, strict=True)
    }
    points, drawn = zip(*views.values(), strict=True)
    return views | {AVERAGE: (np.mean(points, axis=0), np.mean(drawn, axis=0))}


def _figures(ours: Views, theirs: Views) -> dict[str, Any]:
    """Figures by task and on average."""
    return {
        name: {
            "accuracy": interval(point[0], drawn[:, 0]),
            "tokens": interval(point[1], drawn[:, 1]),
            "difference": interval(point[0] - theirs[name][0][0], drawn[:, 0] - theirs[name][1][:, 0]),
        }
        for name, (point, drawn) in ours.items()
    }


def _verdicts(study: MergeStudy, views: Mapping[str, Views]) -> list[dict[str, Any]]:
    """The subject against every other method and model on average, and against each expert on the expert's task."""
    method = label_of(str(study.subject))
    return [
        *_verdicts_on_average(study, views, label_of, (BASE, *study.others)),
        *(_verdict(study, (method, expert(task)), task, views) for task in study.tasks),
    ]


def _verdicts_on_average(
    study: MergeStudy, views: Mapping[str, Views], label: Callable[[str], str], models: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """The subject against ``models`` and every other method, over all tasks."""
    method = label(str(study.subject))
    others = [*models, *(label(name) for name in study.methods if name != study.subject)]
    return [_verdict(study, (method, other), AVERAGE, views) for other in others]


def _verdict(study: MergeStudy, names: tuple[str, str], task: str, views: Mapping[str, Views]) -> dict[str, Any]:
    """One model against another, on a task or on average."""
    (mine, mine_drawn), (theirs, theirs_drawn) = (views[name][task] for name in names)
    difference = interval(mine[0] - theirs[0], mine_drawn[:, 0] - theirs_drawn[:, 0])
    ratio = interval(mine[1] / theirs[1], mine_drawn[:, 1] / theirs_drawn[:, 1])
    return {
        "method": names[0],
        "other": names[1],
        "task": task,
        "accuracy_difference": difference,
        "token_ratio": ratio,
        "no_worse": difference["low"] >= -study.margin,
        "better": difference["low"] > 0,
    }
