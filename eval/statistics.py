r"""Intervals and paired tests for accuracy and length, on plain numpy arrays.

Notation: $n$ items; for two models on the same items, $b$ items became right and $c$ became wrong.
Every resampling takes its random numbers from a fixed seed, so a report can be reproduced.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special, stats

RESAMPLES = 4000
_SEED = 20250


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float


def wilson(successes: int, n: int, confidence: float = 0.95) -> Estimate:
    r"""Estimate a proportion: Wilson's score interval (1927), good for small $n$ and near 0 and 1.

    $$\frac{\hat p + z^2/2n \pm z\sqrt{\hat p(1-\hat p)/n + z^2/4n^2}}{1 + z^2/n}$$

    Example:
        >>> wilson(8, 10).low.__round__(4)
        0.4902
    """
    z = float(special.ndtri(0.5 + confidence / 2))
    p = successes / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return Estimate(p, max(0.0, centre - half), min(1.0, centre + half))


def mcnemar_exact(became_right: int, became_wrong: int) -> float:
    """Two-sided p-value of McNemar's exact test: under equality each discordant item goes either way with ½.

    Example:
        >>> mcnemar_exact(1, 7).__round__(4)
        0.0703
    """
    discordant = became_right + became_wrong
    if discordant == 0:
        return 1.0
    return min(1.0, 2 * float(stats.binom.cdf(min(became_right, became_wrong), discordant, 0.5)))


def paired_proportions(strata: Sequence[tuple[int, int, int]], confidence: float = 0.95) -> Estimate:
    r"""Estimate the difference of two proportions on the same items: Bonett and Price (2012), adjusted Wald.

    With $\tilde p_b = (b+1)/(n+2)$ and $\tilde p_c = (c+1)/(n+2)$ the interval is
    $\tilde p_b - \tilde p_c \pm z\sqrt{(\tilde p_b + \tilde p_c - (\tilde p_b - \tilde p_c)^2)/(n+2)}$;
    unlike a bootstrap it does not collapse when no item changed. Several strata (benchmarks) are averaged with equal
    weight; their variances add. (For one stratum this is the published interval, the average is our extension.)

    Args:
        strata: ``(n, became right, became wrong)`` of each benchmark.
        confidence: Coverage.

    Returns:
        The plain mean difference, with the adjusted interval.
    """
    value = centre = variance = 0.0
    for n, right, wrong in strata:
        up, down = (right + 1) / (n + 2), (wrong + 1) / (n + 2)
        value += (right - wrong) / n
        centre += up - down
        variance += (up + down - (up - down) ** 2) / (n + 2)
    count = len(strata)
    half = float(special.ndtri(0.5 + confidence / 2)) * math.sqrt(variance)
    return Estimate(value / count, max(-1.0, (centre - half) / count), min(1.0, (centre + half) / count))


def bootstrap(
    strata: Sequence[Sequence[np.ndarray]], statistic: Callable[..., np.ndarray], confidence: float = 0.95
) -> Estimate:
    """Estimate a function of means by the paired percentile bootstrap over items.

    Args:
        strata: For each benchmark the arrays of shape (items,) whose means ``statistic`` takes; all arrays of a
            benchmark are resampled together, which is what keeps the pairing.
        statistic: ``f(mean_1, mean_2, …)``, vectorised over resamples; means are averaged over benchmarks first.
        confidence: Coverage.

    Returns:
        The statistic of the sample, and percentiles over resamples.

    Example:
        >>> x, y = np.array([2.0, 4.0, 6.0]), np.array([1.0, 2.0, 3.0])
        >>> bootstrap([(x, y)], lambda a, b: b / a).value
        0.5
    """
    generator = np.random.default_rng(_SEED)
    point = np.mean([[array.mean() for array in arrays] for arrays in strata], axis=0)
    resampled = np.zeros((len(strata[0]), RESAMPLES))
    for arrays in strata:
        n = len(arrays[0])
        for start in range(0, RESAMPLES, _chunk(n)):
            stop = min(RESAMPLES, start + _chunk(n))
            picks = generator.integers(0, n, (stop - start, n))
            for i, array in enumerate(arrays):
                resampled[i, start:stop] += array[picks].mean(1) / len(strata)
    tail = (1 - confidence) / 2
    low, high = np.quantile(statistic(*resampled), [tail, 1 - tail])
    return Estimate(float(statistic(*point)), float(low), float(high))


def _chunk(items: int) -> int:
    # 2 million numbers at a time bound the memory to about 50 MB.
    return max(1, 2_000_000 // max(1, items))


def mean_interval(values: np.ndarray) -> Estimate:
    """Estimate a mean over items: Student's t interval."""
    n, mean = len(values), float(values.mean())
    if n < 2:
        return Estimate(mean, mean, mean)
    half = float(stats.t.ppf(0.975, n - 1)) * float(values.std(ddof=1)) / math.sqrt(n)
    return Estimate(mean, mean - half, mean + half)
