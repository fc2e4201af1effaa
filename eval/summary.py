"""Computes the figures of an evaluation from its scored answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from eval.at_k import budgets, majority, pass_at_k
from eval.results import Average, Breakdown, Cell, Comparison, Lengths, Results
from eval.scoring import ScoredAnswer
from eval.sources import Item
from eval.statistics import (
    Estimate,
    average,
    bootstrap,
    mcnemar_exact,
    mean_interval,
    paired_proportions,
    variance_inflation,
    wilson,
)


def summarise(results: Results) -> None:
    """Fill ``cells``, ``breakdowns``, ``averages`` and ``comparisons`` from the scored answers."""
    config = results.config
    clusters = {name: _cluster(results.items[name]) for name in config.benchmarks}
    tables = {m: {b: _ItemTable(rows, clusters[b]) for b, rows in per.items()} for m, per in results.scores.items()}
    for model, per_benchmark in tables.items():
        cells = results.cells[model] = {name: _cell(table) for name, table in per_benchmark.items()}
        results.breakdowns[model] = {
            name: _break_down(results.items[name], table, clusters[name]) for name, table in per_benchmark.items()
        }
        judged = [cell.judge for cell in cells.values() if cell.judge]
        results.averages[model] = Average(
            accuracy=average([cell.accuracy for cell in cells.values()]),
            tokens=average([cell.tokens.mean for cell in cells.values()]),
            judge=average(judged) if judged else None,
        )
    for model in config.models:
        if model == config.baseline:
            continue
        pairs = {name: (tables[model][name], tables[config.baseline][name]) for name in config.benchmarks}
        results.comparisons[model] = {name: _compare([pair], config.margin) for name, pair in pairs.items()}
        results.comparisons[model]["average"] = _compare(list(pairs.values()), config.margin)


def _cluster(items: Sequence[Item]) -> dict[int, str]:
    """Row number of each question → the cluster it belongs to."""
    return {item.index: item.cluster for item in items}


class _ItemTable:
    """One model's responses to some questions, grouped by question, and their means per question."""

    def __init__(self, rows: Sequence[ScoredAnswer], clusters: dict[int, str]) -> None:
        self.rows = rows
        numbers = sorted({row.item for row in rows})
        place = {item: i for i, item in enumerate(numbers)}
        self._index = np.array([place[row.item] for row in rows])
        self._count = np.bincount(self._index)
        names = {key: i for i, key in enumerate(dict.fromkeys(clusters[item] for item in numbers))}
        self.clusters = np.array([names[clusters[item]] for item in numbers])
        self._valid = np.array([row.error is None for row in rows], dtype=float)
        answers = np.bincount(self._index, self._valid)
        self.answered = answers > 0
        self._answers = np.maximum(answers, 1)
        self.accuracy = self.per_item(lambda row: row.correct)
        self.tokens = self.per_item(lambda row: row.tokens, valid_only=True)

    def per_item(self, value: Callable[[ScoredAnswer], float], valid_only: bool = False) -> np.ndarray:
        """Mean of a value over each item's responses, or over those without an error; shape (items,)."""
        values = np.array([value(row) for row in self.rows], dtype=float)
        if valid_only:
            return np.bincount(self._index, values * self._valid) / self._answers
        return np.bincount(self._index, values) / self._count

    def samples(self) -> list[list[ScoredAnswer]]:
        """Responses of each item."""
        groups: list[list[ScoredAnswer]] = [[] for _ in self._count]
        for place, row in zip(self._index, self.rows, strict=True):
            groups[place].append(row)
        return groups

    @property
    def binary(self) -> bool:
        return _is_binary(self.accuracy)


def _is_binary(values: np.ndarray) -> bool:
    return bool(np.isin(values, (0.0, 1.0)).all())


def _cell(table: _ItemTable) -> Cell:
    rows = table.rows
    right = sum(row.correct for row in rows)
    spent = sum(row.tokens for row in rows if row.error is None)
    pass_at, most = _repeated(table)
    judged = [row for row in rows if row.judge is not None]
    return Cell(
        items=len(table.accuracy),
        samples=len(rows),
        clusters=int(table.clusters.max()) + 1,
        accuracy=_share(table.accuracy, table.clusters),
        pass_at=pass_at,
        majority=most,
        tokens=_lengths(table, lambda row: row.tokens),
        reasoning=_lengths(table, lambda row: row.reasoning_tokens),
        answer=_lengths(table, lambda row: row.tokens - row.reasoning_tokens),
        tokens_per_correct=float(spent / right) if right else None,
        well_formed=float(np.mean([row.well_formed for row in rows])),
        reflections=float(np.mean([row.reflections for row in rows])),
        unparsed=sum(row.status == "unparsed" for row in rows),
        truncated=sum(row.truncated for row in rows),
        errors=sum(row.error is not None for row in rows),
        judge=_share(table.per_item(lambda row: row.judge == "right"), table.clusters) if judged else None,
        judge_unclear=sum(row.judge == "unclear" for row in judged),
    )


def _share(values: np.ndarray, clusters: np.ndarray) -> Estimate:
    """Mean over items of values in [0, 1]."""
    if _is_binary(values):
        return wilson(int(values.sum()), len(values), inflation=variance_inflation(values, clusters))
    estimate = mean_interval(values, clusters)
    return Estimate(estimate.value, max(0.0, estimate.low), min(1.0, estimate.high))


def _repeated(table: _ItemTable) -> tuple[dict[str, Estimate], Estimate | None]:
    """pass@k and maj@k, where every item has the same number of responses, more than one."""
    items = table.samples()
    k = len(items[0])
    if k == 1:
        return {}, None
    scores = [[row.correct for row in rows] for rows in items]
    pass_at = {str(n): _share(np.array([pass_at_k(item, n) for item in scores]), table.clusters) for n in budgets(k)}
    votes = [majority([row.prediction for row in rows], item) for rows, item in zip(items, scores, strict=True)]
    return pass_at, _share(np.array(votes), table.clusters)


def _lengths(table: _ItemTable, value: Callable[[ScoredAnswer], int]) -> Lengths:
    lengths = np.array([value(row) for row in table.rows if row.error is None])
    if not len(lengths):
        return Lengths(Estimate(0.0, 0.0, 0.0), 0.0, 0.0)
    per_item = table.per_item(value, valid_only=True)[table.answered]
    clusters = np.unique(table.clusters[table.answered], return_inverse=True)[1]
    return Lengths(mean_interval(per_item, clusters), float(np.median(lengths)), float(np.quantile(lengths, 0.9)))


def _break_down(items: Sequence[Item], table: _ItemTable, clusters: dict[int, str]) -> Breakdown:
    """Figures by category; items that do not belong to a group are left out of it."""
    members: dict[str, dict[str, set[int]]] = {}
    for item in items:
        for group, value in item.groups.items():
            members.setdefault(group, {}).setdefault(value, set()).add(item.index)
    return {
        group: {
            value: _cell(_ItemTable([row for row in table.rows if row.item in rows], clusters))
            for value, rows in sorted(values.items())
        }
        for group, values in members.items()
    }


def _compare(pairs: Sequence[tuple[_ItemTable, _ItemTable]], margin: float) -> Comparison:
    p_value = right = wrong = None
    if all(a.binary and b.binary for a, b in pairs):
        changes = [a.accuracy - b.accuracy for a, b in pairs]
        strata = [
            (len(c), int((c > 0).sum()), int((c < 0).sum()), variance_inflation(c, a.clusters))
            for c, (a, _) in zip(changes, pairs, strict=True)
        ]
        difference = paired_proportions(strata)
        right, wrong = sum(s[1] for s in strata), sum(s[2] for s in strata)
        if len(pairs) == 1:
            p_value = mcnemar_exact(np.bincount(pairs[0][0].clusters, changes[0]))
    else:
        difference = bootstrap(
            [(a.accuracy, b.accuracy) for a, b in pairs], lambda a, b: a - b, clusters=[a.clusters for a, _ in pairs]
        )
    if any(a.clusters.max() < 1 for a, _ in pairs):
        # How much other clusters would differ is anyone's guess.
        difference = Estimate(difference.value, -1.0, 1.0)
    return Comparison(
        items=sum(len(a.accuracy) for a, _ in pairs),
        accuracy_difference=difference,
        p_value=p_value,
        became_right=right,
        became_wrong=wrong,
        token_ratio=_token_ratio(pairs),
        no_worse=difference.low >= -margin,
    )


def _token_ratio(pairs: Sequence[tuple[_ItemTable, _ItemTable]]) -> Estimate | None:
    lengths, clusters = [], []
    for a, b in pairs:
        both = a.answered & b.answered
        lengths.append((a.tokens[both], b.tokens[both]))
        clusters.append(np.unique(a.clusters[both], return_inverse=True)[1])
    if not all(len(b) and b.sum() for _, b in lengths):
        return None
    return bootstrap(lengths, lambda a, b: a / b, clusters=clusters)
