"""Intervals over seeds and items."""

from __future__ import annotations

import numpy as np

RESAMPLES = 4000
_SEED = 20251


def resample(values: np.ndarray) -> np.ndarray:
    """Draw seeds, and items within them, with replacement.

    Args:
        values: (seeds, items, columns).

    Returns:
        Means of the bootstrap samples, (RESAMPLES, columns); the same for equal shapes and values.
    """
    generator = np.random.default_rng(_SEED)
    seeds, items, columns = values.shape
    result = np.zeros((RESAMPLES, columns))
    for i in range(RESAMPLES):
        for seed in generator.integers(0, seeds, (seeds,)):
            result[i] += values[seed, generator.integers(0, items, items)].mean(0) / seeds
    return result


def interval(value: float, resampled: np.ndarray) -> dict[str, float]:
    """95 % percentile interval of a figure."""
    low, high = np.quantile(resampled, [0.025, 0.975])
    return {"value": float(value), "low": float(low), "high": float(high)}
