"""Figures of an evaluation: per model and benchmark, on average, by category and against the baseline; as JSON too.

The schema of ``results.json`` is in docs/evaluation.md.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field, is_dataclass
from pathlib import Path
from typing import Any

from eval.claims import Verdict
from eval.config import EvalConfig
from eval.scoring import ScoredAnswer
from eval.sources import Item
from eval.statistics import Estimate
from lipo.common import atomic_write

SCHEMA = 2


@dataclass(frozen=True)
class Lengths:
    """Tokens per response, over items without an error."""

    mean: Estimate
    """Mean over items, with a t interval."""
    median: float
    p90: float


@dataclass(frozen=True)
class Cell:
    """One model on one benchmark, or on one category of it."""

    items: int
    samples: int
    """Responses: items times samples per item."""
    clusters: int
    """Groups of items that are not independent, such as questions about one image; as many as items if all are."""
    accuracy: Estimate
    """Mean over all responses, avg@k; Wilson's interval, or Student's t where accuracy has degrees; clustered."""
    pass_at: dict[str, Estimate]
    """k → pass@k; only with several samples per item."""
    majority: Estimate | None
    """maj@k for k = samples per item; None with one sample."""
    tokens: Lengths
    """Of the whole response, the end token included."""
    reasoning: Lengths
    """Of the part up to ``</think>``."""
    answer: Lengths
    """Of the rest."""
    tokens_per_correct: float | None
    """All tokens spent, divided by the sum of accuracies; None where that is 0."""
    well_formed: float
    """Share of responses that keep the required format."""
    reflections: float
    """Self-corrections that change the answer, per response (:func:`reward_fns.find_reflections`)."""
    unparsed: int
    """Responses without a readable final answer."""
    truncated: int
    """Responses cut by the token limit."""
    errors: int
    """Responses that could not be generated or scored."""
    judge: Estimate | None
    """Share that the judge model called right; None without a judge."""
    judge_unclear: int
    """Responses on which the judge gave no verdict; they count as not right in ``judge``."""


@dataclass(frozen=True)
class Average:
    """One model over all benchmarks, each with equal weight."""

    accuracy: Estimate
    tokens: Estimate
    judge: Estimate | None
    """None without a judge."""


@dataclass(frozen=True)
class Comparison:
    """A model against the baseline on the same items."""

    items: int
    accuracy_difference: Estimate
    """Model minus baseline; Bonett and Price's interval, or the paired bootstrap where accuracy has degrees."""
    p_value: float | None
    """McNemar's exact test, by clusters; None for averages and for accuracy with degrees."""
    became_right: int | None
    became_wrong: int | None
    token_ratio: Estimate | None
    """Mean tokens of the model over the baseline's, paired bootstrap; None where the baseline wrote none."""
    no_worse: bool
    """Whether the interval excludes a loss of accuracy beyond the margin (non-inferiority)."""


Breakdown = dict[str, dict[str, Cell]]
"""Group → value → figures, e.g. ``{"subject": {"geometry": Cell(…)}}``."""


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
    """Model → benchmark → figures."""
    breakdowns: dict[str, dict[str, Breakdown]] = field(default_factory=dict)
    """Model → benchmark → figures by category."""
    averages: dict[str, Average] = field(default_factory=dict)
    comparisons: dict[str, dict[str, Comparison]] = field(default_factory=dict)
    """Model → benchmark or ``average`` → against the baseline."""
    claims: list[Verdict] = field(default_factory=list)
    published: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    """Model → benchmark → name → score; see :mod:`eval.benchmarks.scores`."""

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
            "frames": asdict(config.frames),
            "judge": asdict(config.judge) if config.judge else None,
            "versions": self.versions,
            "models": {m: {"path": str(p), "fingerprint": self.fingerprints[m]} for m, p in config.models.items()},
            "benchmarks": {
                name: {
                    "source": str(b.source or b.hub),
                    "scorer": ", ".join(sorted({item.scorer or b.scorer or "auto" for item in self.items[name]})),
                    "items": len(self.items[name]),
                }
                for name, b in config.benchmarks.items()
            },
            "cells": _plain(self.cells),
            "breakdowns": _plain(self.breakdowns),
            "averages": _plain(self.averages),
            "comparisons": _plain(self.comparisons),
            "published": self.published,
            "claims": [_plain(verdict) for verdict in self.claims],
        }

    def write_json(self, path: Path) -> None:
        """Write ``results.json``."""
        with atomic_write(path) as file:
            json.dump(self.to_json(), file, indent=1, allow_nan=False)
            file.write("\n")


def _plain(value: Any) -> Any:
    """Plain data; JSON has no number for a limit that is infinite."""
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
