"""Intervals and tests over clusters of items: by hand, against scipy, and by simulation."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from eval import statistics
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


def _numbers(sizes):
    return np.repeat(np.arange(len(sizes)), sizes)


def test_items_of_their_own_need_no_inflation():
    assert variance_inflation(np.array([0.0, 1.0, 1.0]), np.arange(3)) == 1.0


def test_copies_count_once():
    """Four copies of each item: the design effect is 4, but for the degrees of freedom."""
    values = np.repeat(np.random.default_rng(0).random(200).round(), 4)
    few = (stats.t.ppf(0.975, 199) / stats.norm.ppf(0.975)) ** 2
    inflation = variance_inflation(values, _numbers([4] * 200))
    assert inflation == pytest.approx(few * 4 * (200 / 199) / (800 / 799))
    # Clusters of several sizes without any variance: sum of squares over sum.
    few = (stats.t.ppf(0.975, 2) / stats.norm.ppf(0.975)) ** 2
    assert variance_inflation(np.ones(6), _numbers([1, 2, 3])) == pytest.approx(few * 14 / 6)


def test_opposite_items_never_narrow_an_interval():
    values = np.tile([0.0, 1.0], 100)
    assert variance_inflation(values, _numbers([2] * 100)) == pytest.approx((stats.t.ppf(0.975, 99) / 1.959964) ** 2)


def test_mean_interval_of_equal_clusters_is_that_of_their_means():
    generator = np.random.default_rng(3)
    values, clusters = generator.gamma(3.0, 20.0, 120), _numbers([4] * 30)
    means = values.reshape(30, 4).mean(1)
    low, high = stats.t.interval(0.95, 29, loc=means.mean(), scale=stats.sem(means))
    estimate = mean_interval(values, clusters)
    assert (estimate.low, estimate.high) == pytest.approx((low, high))
    assert mean_interval(values, np.arange(120)) == pytest.approx(mean_interval(values))


@given(st.lists(st.integers(-3, 3), max_size=9))
def test_mcnemar_by_clusters_counts_every_sign(changes):
    sizes = [abs(c) for c in changes if c]
    sums = [
        sum(s * size for s, size in zip(signs, sizes, strict=True)) for signs in product((1, -1), repeat=len(sizes))
    ]
    expected = np.mean([abs(s) >= abs(sum(changes)) for s in sums])
    assert mcnemar_exact(np.array(changes, dtype=float)) == pytest.approx(expected)


def test_bootstrap_of_clusters_agrees_with_scipy_over_cluster_means():
    generator = np.random.default_rng(1)
    x = np.repeat(generator.gamma(4.0, 20.0, 60), 3) + generator.normal(0.0, 2.0, 180)
    y = 0.6 * x + generator.normal(0.0, 8.0, 180)
    ours = bootstrap([(y, x)], lambda a, b: a / b, clusters=[_numbers([3] * 60)])
    theirs = stats.bootstrap(
        (y.reshape(60, 3).mean(1), x.reshape(60, 3).mean(1)),
        lambda a, b, axis: a.mean(axis) / b.mean(axis),
        paired=True,
        method="percentile",
        n_resamples=4000,
        rng=np.random.default_rng(2),
    ).confidence_interval
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.004)


def test_average_of_symmetric_intervals_adds_variances():
    estimate = average([Estimate(0.2, 0.1, 0.3), Estimate(0.6, 0.3, 0.9)])
    half = np.hypot(0.1, 0.3) / 2
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx((0.4, 0.4 - half, 0.4 + half))
    assert average([Estimate(0.2, 0.1, 0.5)]) == pytest.approx(Estimate(0.2, 0.1, 0.5))


# --- coverage ---------------------------------------------------------------------------------------------------------


def _clustered_answers(generator, groups, share, likeness):
    """0/1 for clusters of one to six items; an item copies its cluster's draw with probability ``likeness``."""
    clusters = _numbers(generator.integers(1, 7, groups))
    own, common = generator.random(len(clusters)) < share, (generator.random(groups) < share)[clusters]
    return np.where(generator.random(len(clusters)) < likeness, common, own).astype(float), clusters


def _coverage(draw, truth, trials):
    generator = np.random.default_rng(0)
    intervals = [draw(generator) for _ in range(trials)]
    return np.mean([e.low <= truth <= e.high for e in intervals])


def test_clustered_wilson_covers_where_the_plain_one_does_not():
    def clustered(generator):
        values, clusters = _clustered_answers(generator, 150, 0.7, 0.6)
        return wilson(int(values.sum()), len(values), inflation=variance_inflation(values, clusters))

    def plain(generator):
        values, _ = _clustered_answers(generator, 150, 0.7, 0.6)
        return wilson(int(values.sum()), len(values))

    assert 0.93 <= _coverage(clustered, 0.7, 2000) <= 0.97
    assert _coverage(plain, 0.7, 2000) < 0.90


def test_clustered_mean_covers():
    def draw(generator):
        clusters = _numbers(generator.integers(1, 7, 120))
        difficulty = generator.gamma(6.0, 1.0, 120)[clusters]
        return mean_interval(difficulty * generator.gamma(9.0, 2.0, len(clusters)), clusters)

    assert 0.93 <= _coverage(draw, 108.0, 2000) <= 0.97


def test_clustered_paired_proportions_cover():
    def draw(generator):
        before, clusters = _clustered_answers(generator, 150, 0.5, 0.6)
        # A cluster changes as a whole, one way or the other.
        fate = generator.choice([-1, 0, 1], len(np.unique(clusters)), p=[0.1, 0.7, 0.2])[clusters]
        changes = np.clip(before + fate, 0, 1) - before
        counts = (len(changes), int((changes > 0).sum()), int((changes < 0).sum()))
        return paired_proportions([(*counts, variance_inflation(changes, clusters))])

    # A right item (1/2) becomes wrong with 0.1, a wrong one right with 0.2.
    assert 0.93 <= _coverage(draw, 0.05, 2000) <= 0.97


def test_clustered_token_ratio_covers(monkeypatch):
    monkeypatch.setattr(statistics, "RESAMPLES", 600)

    def draw(generator):
        clusters = _numbers(generator.integers(1, 5, 120))
        difficulty = generator.gamma(6.0, 1.0, 120)[clusters]
        long, short = (difficulty * generator.gamma(9.0, scale, len(clusters)) for scale in (2.0, 1.0))
        ratio = np.repeat(generator.lognormal(0.0, 0.2, 120), np.bincount(clusters))
        return bootstrap([(short * ratio, long)], lambda a, b: a / b, clusters=[clusters])

    assert 0.93 <= _coverage(draw, 0.5 * np.exp(0.02), 1500) <= 0.97


def test_clustered_mcnemar_keeps_its_level():
    generator = np.random.default_rng(0)
    rejected = 0
    for _ in range(1000):
        sizes = generator.integers(1, 7, 80)
        changes = sizes * generator.choice([-1, 0, 1], 80, p=[0.15, 0.7, 0.15])
        rejected += mcnemar_exact(changes) < 0.05
    assert 0.02 <= rejected / 1000 <= 0.06
