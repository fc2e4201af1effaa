"""Figures of an evaluation: per model and benchmark, on average, and against the baseline; and their JSON form.

``results.json`` (``"schema": 1``), all shares between 0 and 1, every estimate ``{value, low, high}`` with a 95 %
interval:

- ``baseline``, ``title``, ``sampling``, ``engine``, ``margin``, ``versions``: how the figures came about
- ``models``: label → ``{path, fingerprint}``; ``benchmarks``: name → ``{source, scorer, items}``
- ``cells``: label → benchmark → :class:`Cell`; ``averages``: label → :class:`Average`
- ``comparisons``: label → benchmark or ``average`` → :class:`Comparison`; not for the baseline itself
- ``claims``: list of :class:`eval.claims.Verdict`
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from eval.claims import Verdict
from eval.config import EvalConfig
from eval.scoring import ScoredAnswer
from eval.sources import Item
from eval.statistics import Estimate, bootstrap, mcnemar_exact, mean_interval, paired_proportions, wilson
from lipo.common import atomic_write

SCHEMA = 1


@dataclass(frozen=True)
class Cell:
    """One model on one benchmark."""

    items: int
    samples: int
    """Responses: items times samples per item."""
    accuracy: Estimate
    """Over all items; Wilson's interval, or Student's t over items where accuracy has degrees."""
    tokens: Estimate
    """Mean tokens of a response over items without an error, t interval."""
    median_tokens: float
    p90_tokens: float
    tokens_per_correct: float | None
    """All tokens spent, divided by the number of correct responses; None without any."""
    well_formed: float
    unparsed: int
    truncated: int
    errors: int


@dataclass(frozen=True)
class Average:
    """One model over all benchmarks, each with equal weight."""

    accuracy: float
    tokens: float


@dataclass(frozen=True)
class Comparison:
    """A model against the baseline on the same items."""

    items: int
    accuracy_difference: Estimate
    """Model minus baseline; Bonett and Price's interval, or the paired bootstrap where accuracy has degrees."""
    p_value: float | None
    """McNemar's exact test; None for averages and for accuracy with degrees."""
    became_right: int | None
    became_wrong: int | None
    token_ratio: Estimate | None
    """Mean tokens of the model over the baseline's, paired bootstrap; None where the baseline wrote none."""
    no_worse: bool
    """Whether the interval excludes a loss of accuracy beyond the margin (non-inferiority)."""


@dataclass
class Results:
    """All figures of an evaluation, with the scored answers behind them."""

    config: EvalConfig
    versions: dict[str, str]
    fingerprints: dict[str, str]
    items: dict[str, list[Item]]
    """Benchmark → questions."""
    scores: dict[str, dict[str, list[ScoredAnswer]]]
    """Model → benchmark → scored answers."""
    cells: dict[str, dict[str, Cell]] = field(default_factory=dict)
    averages: dict[str, Average] = field(default_factory=dict)
    comparisons: dict[str, dict[str, Comparison]] = field(default_factory=dict)
    claims: list[Verdict] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Convert to plain data, as in ``results.json``; without questions and answers."""
        config = self.config
        return {
            "schema": SCHEMA,
            "title": config.title,
            "baseline": config.baseline,
            "margin": config.margin,
            "sampling": asdict(config.sampling),
            "engine": asdict(config.engine),
            "versions": self.versions,
            "models": {m: {"path": str(p), "fingerprint": self.fingerprints[m]} for m, p in config.models.items()},
            "benchmarks": {
                name: {"source": str(b.source), "scorer": b.scorer, "items": len(self.items[name])}
                for name, b in config.benchmarks.items()
            },
            "cells": _plain(self.cells),
            "averages": _plain(self.averages),
            "comparisons": _plain(self.comparisons),
            "claims": [asdict(verdict) for verdict in self.claims],
        }

    def write_json(self, path: Path) -> None:
        """Write ``results.json``."""
        with atomic_write(path) as file:
            json.dump(self.to_json(), file, indent=1, allow_nan=False)
            file.write("\n")


def _plain(value: Any) -> Any:
    return {k: _plain(v) for k, v in value.items()} if isinstance(value, dict) else asdict(value)


def summarise(results: Results) -> None:
    """Fill ``cells``, ``averages`` and ``comparisons`` from the scored answers."""
    config = results.config
    tables = {m: {b: _ItemTable(rows) for b, rows in per.items()} for m, per in results.scores.items()}
    for model, per_benchmark in results.scores.items():
        cells = {name: _cell(rows, tables[model][name]) for name, rows in per_benchmark.items()}
        results.cells[model] = cells
        results.averages[model] = Average(
            accuracy=float(np.mean([cell.accuracy.value for cell in cells.values()])),
            tokens=float(np.mean([cell.tokens.value for cell in cells.values()])),
        )
    for model in config.models:
        if model == config.baseline:
            continue
        pairs = {name: (tables[model][name], tables[config.baseline][name]) for name in config.benchmarks}
        results.comparisons[model] = {name: _compare([pair], config.margin) for name, pair in pairs.items()}
        results.comparisons[model]["average"] = _compare(list(pairs.values()), config.margin)


class _ItemTable:
    """Per-item means of one model on one benchmark."""

    def __init__(self, rows: Sequence[ScoredAnswer]) -> None:
        numbers = sorted({row.item for row in rows})
        place = {item: i for i, item in enumerate(numbers)}
        index = np.array([place[row.item] for row in rows])
        count = np.bincount(index)
        self.accuracy = np.bincount(index, [row.correct for row in rows]) / count
        valid = np.array([row.error is None for row in rows], dtype=float)
        answered = np.bincount(index, valid)
        self.answered = answered > 0
        tokens = np.bincount(index, valid * np.array([row.tokens for row in rows]))
        self.tokens = tokens / np.maximum(answered, 1)

    @property
    def binary(self) -> bool:
        return bool(np.isin(self.accuracy, (0.0, 1.0)).all())


def _cell(rows: Sequence[ScoredAnswer], table: _ItemTable) -> Cell:
    tokens = np.array([row.tokens for row in rows if row.error is None])
    correct = sum(row.correct for row in rows)
    n = len(table.accuracy)
    return Cell(
        items=n,
        samples=len(rows),
        accuracy=wilson(int(table.accuracy.sum()), n) if table.binary else _clipped(mean_interval(table.accuracy)),
        tokens=mean_interval(table.tokens[table.answered]) if len(tokens) else Estimate(0.0, 0.0, 0.0),
        median_tokens=float(np.median(tokens)) if len(tokens) else 0.0,
        p90_tokens=float(np.quantile(tokens, 0.9)) if len(tokens) else 0.0,
        tokens_per_correct=float(tokens.sum() / correct) if correct else None,
        well_formed=float(np.mean([row.well_formed for row in rows])),
        unparsed=sum(row.status == "unparsed" for row in rows),
        truncated=sum(row.truncated for row in rows),
        errors=sum(row.error is not None for row in rows),
    )


def _clipped(estimate: Estimate) -> Estimate:
    return Estimate(estimate.value, max(0.0, estimate.low), min(1.0, estimate.high))


def _compare(pairs: Sequence[tuple[_ItemTable, _ItemTable]], margin: float) -> Comparison:
    binary = all(a.binary and b.binary for a, b in pairs)
    p_value = right = wrong = None
    if binary:
        strata = [_discordant(a, b) for a, b in pairs]
        difference = paired_proportions(strata)
        right, wrong = sum(s[1] for s in strata), sum(s[2] for s in strata)
        p_value = mcnemar_exact(right, wrong) if len(pairs) == 1 else None
    else:
        difference = bootstrap([(a.accuracy, b.accuracy) for a, b in pairs], lambda a, b: a - b)
    lengths = []
    for a, b in pairs:
        both = a.answered & b.answered
        lengths.append((a.tokens[both], b.tokens[both]))
    ratio = None
    if all(len(b) and b.sum() for _, b in lengths):
        ratio = bootstrap(lengths, lambda a, b: a / b)
    return Comparison(
        items=sum(len(a.accuracy) for a, _ in pairs),
        accuracy_difference=difference,
        p_value=p_value,
        became_right=right,
        became_wrong=wrong,
        token_ratio=ratio,
        no_worse=difference.low >= -margin,
    )


def _discordant(a: _ItemTable, b: _ItemTable) -> tuple[int, int, int]:
    return len(a.accuracy), int((a.accuracy > b.accuracy).sum()), int((a.accuracy < b.accuracy).sum())
