"""Reads the metrics that verl's file logger writes while it trains."""

from __future__ import annotations

import json
from collections.abc import Sequence
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
    score, length = "critic/score/mean", "response_length/mean"
    return [
        StepMetrics(step, values[score], values[length], values)
        for step, values in read_steps(directory, (score, length)).items()
    ]


def read_steps(directory: Path, needed: Sequence[str]) -> dict[int, dict[str, float]]:
    """Read what each step logged, as :func:`read_history` does.

    Args:
        directory: As there.
        needed: Metrics that a step's line has; other lines, such as validation's, are left out.

    Returns:
        Step → its numbers by name, ascending.
    """
    steps: dict[int, dict[str, float]] = {}
    for file in sorted(directory.glob("attempt-*.jsonl")):
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                record = json.loads(line)
                step = int(record["step"])
                values = {k: float(v) for k, v in record["data"].items() if isinstance(v, (int, float))}
            except (json.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError):
                continue
            if all(name in values for name in needed):
                steps = {s: v for s, v in steps.items() if s < step}
                steps[step] = values
    return dict(sorted(steps.items()))


def next_attempt(directory: Path) -> Path:
    """Name the metrics file of a new attempt: verl's file logger empties its file when it starts (tracking.py:541)."""
    directory.mkdir(parents=True, exist_ok=True)
    taken = [int(file.stem[-4:]) for file in directory.glob(f"attempt-{4 * '[0-9]'}.jsonl")]
    return directory / f"attempt-{max(taken, default=0) + 1:04d}.jsonl"
