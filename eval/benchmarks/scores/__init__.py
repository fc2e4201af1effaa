"""Scores that a benchmark's authors define over several questions, beside the accuracy of each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from eval.benchmarks._resolve import find_declaration
from eval.benchmarks.scores.mme import mme_scores
from eval.benchmarks.scores.task_average import task_average
from eval.benchmarks.scores.wemath import wemath_scores
from eval.config import BenchmarkConfig
from eval.sources.item import Item

if TYPE_CHECKING:
    from eval.scoring import ScoredAnswer

SCORES = {"mme": mme_scores, "wemath": wemath_scores, "task_average": task_average}
"""By the ``published_score`` of a declaration."""


def published_scores(kind: str, items: Sequence[Item], correct: Sequence[float]) -> dict[str, float]:
    """Compute the scores that a benchmark publishes.

    Args:
        kind: ``published_score`` of the declaration.
        items: Questions.
        correct: Accuracy of each, in [0, 1]; with several samples their mean.

    Returns:
        Name → score, in the authors' units.
    """
    return SCORES[kind](items, correct)


def published_results(
    benchmarks: Mapping[str, BenchmarkConfig],
    items: Mapping[str, Sequence[Item]],
    scores: Mapping[str, Mapping[str, Sequence[ScoredAnswer]]],
) -> dict[str, dict[str, dict[str, float]]]:
    """Compute the published scores of every model.

    Args:
        benchmarks: Name → resolved configuration.
        items: Benchmark → questions.
        scores: Model → benchmark → scored answers.

    Returns:
        Model → benchmark → name → score; benchmarks without a published score are left out.
    """
    kinds = {name: find_declaration(b.declaration).published_score for name, b in benchmarks.items() if b.declaration}
    kinds = {name: kind for name, kind in kinds.items() if kind}
    published: dict[str, dict[str, dict[str, float]]] = {}
    for model, per_benchmark in scores.items():
        for name, kind in kinds.items():
            answers: dict[int, list[float]] = defaultdict(list)
            for row in per_benchmark[name]:
                answers[row.item].append(row.correct)
            correct = [sum(answers[item.index]) / len(answers[item.index]) for item in items[name]]
            published.setdefault(model, {})[name] = published_scores(str(kind), items[name], correct)
    return published


__all__ = ["SCORES", "mme_scores", "published_results", "published_scores", "task_average", "wemath_scores"]
