"""Reads the metrics that verl's file logger writes while it trains."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class StepMetrics:
    """What one training step reports.

    Attributes:
        step: Number of the step, from 1.
        score: Mean reward of its rollouts.
        response_length: Mean response length in tokens.
        values: Every metric verl logged, by name.
    """

    step: int
    score: float
    response_length: float
    values: dict[str, float]


def read_history(directory: Path) -> list[StepMetrics]:
    """Merge the metrics files of all attempts of a run, in order; a later attempt replaces what it repeats.

    Args:
        directory: Holds ``attempt-0001.jsonl``, ``attempt-0002.jsonl``, …; need not exist.

    Returns:
        One entry per training step, ascending. A line cut short by a kill is left out.
    """
    steps: dict[int, StepMetrics] = {}
    for file in sorted(directory.glob("attempt-*.jsonl")):
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                record = json.loads(line)
                values, step = record["data"], int(record["step"])
                entry = StepMetrics(
                    step=step,
                    score=float(values["critic/score/mean"]),
                    response_length=float(values["response_length/mean"]),
                    values={k: float(v) for k, v in values.items() if isinstance(v, (int, float))},
                )
            except (json.JSONDecodeError, KeyError, TypeError, ValueError):
                continue
            steps = {s: e for s, e in steps.items() if s < step}
            steps[step] = entry
    return [steps[s] for s in sorted(steps)]
