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
    """A figure with its 95 % interval; one without limits where a single cluster cannot tell how much others differ."""

    value: float
    low: float
    high: float

    @property
    def bounded(self) -> bool:
        """Whether the interval has limits."""
        return math.isfinite(self.low) and math.isfinite(self.high)


def wilson(successes: int, n: int, confidence: float = 0.95, inflation: float = 1.0) -> Estimate:
    r"""Estimate a proportion: Wilson's score interval (1927), good for small $n$ and near 0 and 1.

    $$\frac{\hat p + z^2/2n \pm z\sqrt{\hat p(1-\hat p)/n + z^2/4n^2}}{1 + z^2/n}$$

    Args:
        successes: Items with the property.
        n: Items.
        confidence: Coverage.
        inflation: From :func:`variance_inflation`; the formula then takes $n$ divided by it, the effective number of
            items, as Korn and Graubard (1998) do for surveys.

    Example:
        >>> wilson(8, 10).low.__round__(4)
        0.4902
    """
    z = float(special.ndtri(0.5 + confidence / 2))
    p, size = successes / n, n / inflation
    centre = (p + z * z / (2 * size)) / (1 + z * z / size)
    half = z * math.sqrt(p * (1 - p) / size + z * z / (4 * size * size)) / (1 + z * z / size)
    # At 0 and 1 rounding may put the limit beyond the value itself.
    return Estimate(p, max(0.0, min(p, centre - half)), min(1.0, max(p, centre + half)))


def variance_inflation(values: np.ndarray, clusters: np.ndarray, confidence: float = 0.95) -> float:
    r"""How much wider clusters make an interval of a mean, squared; 1 where every cluster has one item.

    Items of a cluster (questions about one image) resemble each other, so they tell less than as many independent
    ones. With $G$ clusters and deviations $e_i$ from the mean the design effect (Kish 1965) is

    $$\frac{G/(G-1) \sum_g (\sum_{i \in g} e_i)^2}{n/(n-1) \sum_i e_i^2}, \quad\text{at least 1,}$$

    times $(t_{G-1}/z)^2$ for the few clusters it was estimated from. Where all values are equal, so that nothing can be
    estimated, items of a cluster count as copies of each other: $\sum_g n_g^2 / n$.

    Args:
        values: Shape (items,).
        clusters: Shape (items,), numbers 0, 1, … of clusters.
        confidence: Coverage of the interval to be widened.
    """
    sizes = np.bincount(clusters)
    n, count = len(values), len(sizes)
    if count == n:
        return 1.0
    deviations = values - values.mean()
    own = float((deviations**2).sum())
    effect = float((sizes**2).sum()) / n
    if count > 1 and own > 1e-12 * n:
        shared = float((np.bincount(clusters, deviations) ** 2).sum())
        effect = (count / (count - 1) * shared) / (n / (n - 1) * own)
    few = float(stats.t.ppf(0.5 + confidence / 2, max(1, count - 1)) / special.ndtri(0.5 + confidence / 2))
    return max(1.0, effect) * few**2


def mcnemar_exact(changes: np.ndarray) -> float:
    """Two-sided p-value of McNemar's exact test, by clusters: under equality each net change is as likely reversed.

    With one item per cluster that is the binomial test of the discordant items. With several it is the exact sign-flip
    test of clusters, because changes on questions about one image are not independent.

    Args:
        changes: Shape (clusters,), whole numbers: items that became right minus items that became wrong.

    Example:
        >>> mcnemar_exact(np.array([1, -1, -1, -1, -1, -1, -1, -1, 0])).__round__(4)
        0.0703
    """
    # The distribution of the sum, from -width to width.
    chances = np.ones(1)
    for size in np.abs(changes[changes != 0]).astype(int):
        wider = np.zeros(len(chances) + 2 * size)
        wider[: len(chances)] += chances / 2
        wider[2 * size :] += chances / 2
        chances = wider
    sums = np.arange(len(chances)) - (len(chances) - 1) // 2
    return min(1.0, float(chances[np.abs(sums) >= abs(int(changes.sum()))].sum()))


def paired_proportions(strata: Sequence[tuple[int, int, int, float]], confidence: float = 0.95) -> Estimate:
    r"""Estimate the difference of two proportions on the same items: Bonett and Price (2012), adjusted Wald.

    With $\tilde p_b = (b+1)/(n+2)$ and $\tilde p_c = (c+1)/(n+2)$ the interval is
    $\tilde p_b - \tilde p_c \pm z\sqrt{(\tilde p_b + \tilde p_c - (\tilde p_b - \tilde p_c)^2)/(n+2)}$;
    unlike a bootstrap it does not collapse when no item changed. Several strata (benchmarks) are averaged with equal
    weight; their variances add. (For one stratum this is the published interval, the average is our extension.)

    Args:
        strata: ``(n, became right, became wrong, inflation)`` of each benchmark; the inflation of the variance is from
            :func:`variance_inflation` of the changes (1, 0 or -1), 1 where items are independent.
        confidence: Coverage.

    Returns:
        The plain mean difference, with the adjusted interval.
    """
    value = centre = variance = 0.0
    for n, right, wrong, inflation in strata:
        up, down = (right + 1) / (n + 2), (wrong + 1) / (n + 2)
        value += (right - wrong) / n
        centre += up - down
        variance += inflation * (up + down - (up - down) ** 2) / (n + 2)
    count = len(strata)
    half = float(special.ndtri(0.5 + confidence / 2)) * math.sqrt(variance)
    return Estimate(value / count, max(-1.0, (centre - half) / count), min(1.0, (centre + half) / count))


def bootstrap(
    strata: Sequence[Sequence[np.ndarray]],
    statistic: Callable[..., np.ndarray],
    confidence: float = 0.95,
    clusters: Sequence[np.ndarray] | None = None,
) -> Estimate:
    r"""Estimate a function of means by the paired percentile bootstrap over items, or over clusters of items.

    The percentiles are Hesterberg's expanded ones (2015), $\Phi(-\sqrt{n/(n-1)}\,t_{n-1})$ instead of 2.5 %, because
    plain ones are too narrow with few items; n is the number of items or clusters of the smallest benchmark.

    Args:
        strata: For each benchmark the arrays of shape (items,) whose means ``statistic`` takes; all arrays of a
            benchmark are resampled together, which is what keeps the pairing.
        statistic: ``f(mean_1, mean_2, …)``, vectorised over resamples; means are averaged over benchmarks first.
        confidence: Coverage.
        clusters: For each benchmark the cluster number (from 0) of each item; whole clusters are drawn then.

    Returns:
        The statistic of the sample, and percentiles over resamples; no limits where a benchmark is a single cluster.

    Example:
        >>> x, y = np.array([2.0, 4.0, 6.0]), np.array([1.0, 2.0, 3.0])
        >>> bootstrap([(x, y)], lambda a, b: b / a).value
        0.5
    """
    point = np.mean([[array.mean() for array in arrays] for arrays in strata], axis=0)
    n = min(len(np.unique(c)) for c in clusters) if clusters else min(len(arrays[0]) for arrays in strata)
    if n < 2:
        return Estimate(float(statistic(*point)), -math.inf, math.inf)
    generator = np.random.default_rng(_SEED)
    resampled = np.zeros((len(strata[0]), RESAMPLES))
    for i, arrays in enumerate(strata):
        resampled += _resample(arrays, clusters[i] if clusters else None, generator) / len(strata)
    tail = float(special.ndtr(-math.sqrt(n / (n - 1)) * stats.t.ppf(0.5 + confidence / 2, n - 1)))
    low, high = np.quantile(statistic(*resampled), [tail, 1 - tail])
    return Estimate(float(statistic(*point)), float(low), float(high))


def _resample(arrays: Sequence[np.ndarray], clusters: np.ndarray | None, generator: np.random.Generator) -> np.ndarray:
    """Means of each array in ``RESAMPLES`` draws; shape (arrays, resamples)."""
    columns = list(arrays)
    if clusters is not None and len(np.unique(clusters)) < len(clusters):
        # Means over clusters of several sizes: sums and sizes are drawn together.
        columns = [np.bincount(clusters, column) for column in (*arrays, np.ones(len(clusters)))]
    drawn = len(columns[0])
    sums = np.empty((len(columns), RESAMPLES))
    # 2 million numbers at a time bound the memory to about 50 MB.
    step = max(1, 2_000_000 // drawn)
    for start in range(0, RESAMPLES, step):
        stop = min(RESAMPLES, start + step)
        picks = generator.integers(0, drawn, (stop - start, drawn), dtype=np.int32)
        for row, column in zip(sums, columns, strict=True):
            row[start:stop] = column[picks].sum(1)
    return sums[: len(arrays)] / (sums[-1] if len(columns) > len(arrays) else drawn)


def mean_interval(values: np.ndarray, clusters: np.ndarray | None = None) -> Estimate:
    r"""Estimate a mean over items: Student's t interval; over clusters of items where they are given.

    With $G$ clusters and deviations $e_i$ from the mean the variance is $G/(G-1) \sum_g (\sum_{i \in g} e_i)^2 / n^2$
    (Liang and Zeger 1986) with $G - 1$ degrees of freedom; with one item per cluster that is the common one. A single
    cluster leaves no degree of freedom, and the interval has no limits.

    Args:
        values: Shape (items,).
        clusters: Shape (items,), numbers 0, 1, … of clusters; None where items are independent.
    """
    n, mean = len(values), float(values.mean())
    deviations = values - mean if clusters is None else np.bincount(clusters, values - mean)
    count = len(deviations)
    if count < 2:
        return Estimate(mean, -math.inf, math.inf)
    deviation = math.sqrt(count / (count - 1) * float((deviations**2).sum())) / n
    half = float(stats.t.ppf(0.975, count - 1)) * deviation
    return Estimate(mean, mean - half, mean + half)


def average(estimates: Sequence[Estimate]) -> Estimate:
    r"""Estimate the mean of independent figures from their intervals: square-and-add (Zou and Donner 2008, MOVER).

    The distances of a figure from its limits are added in squares, $\bar l = \bar x - \sqrt{\sum_i (x_i - l_i)^2}/m$,
    so that intervals which are not symmetric stay so.

    Example:
        >>> average([Estimate(0.2, 0.1, 0.5), Estimate(0.8, 0.5, 0.9)])
        Estimate(value=0.5, low=0.34188611699158106, high=0.658113883008419)
    """
    count = len(estimates)
    value = math.fsum(e.value for e in estimates) / count
    low = math.sqrt(math.fsum((e.value - e.low) ** 2 for e in estimates)) / count
    high = math.sqrt(math.fsum((e.high - e.value) ** 2 for e in estimates)) / count
    return Estimate(value, value - low, value + high)
