import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from eval import statistics
from eval.statistics import bootstrap, mcnemar_exact, mean_interval, paired_proportions, wilson


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_agrees_with_scipy(pair):
    k, n = pair
    ours, theirs = wilson(k, n), stats.binomtest(k, n).proportion_ci(method="wilson")
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
    assert ours.low <= ours.value == k / n <= ours.high


@given(st.integers(0, 80), st.integers(0, 80))
def test_mcnemar_is_the_binomial_test_of_discordant_items(right, wrong):
    expected = stats.binomtest(right, right + wrong, 0.5).pvalue if right + wrong else 1.0
    assert mcnemar_exact(np.repeat([1, -1, 0], [right, wrong, 7])) == pytest.approx(expected, rel=1e-9)


def test_mean_interval_agrees_with_scipy():
    values = np.array([3.0, 5.0, 8.0, 13.0])
    low, high = stats.t.interval(0.95, 3, loc=values.mean(), scale=stats.sem(values))
    estimate = mean_interval(values)
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx((7.25, low, high))


def test_a_single_item_or_cluster_gives_no_limits():
    one = np.zeros(3, dtype=int)
    many = np.arange(3)
    values = np.array([3.0, 5.0, 8.0])
    for estimate in (
        mean_interval(values[:1]),
        mean_interval(values, one),
        bootstrap([(values[:1],)], lambda a: a),
        bootstrap([(values,), (values,)], lambda a: a, clusters=[many, one]),
    ):
        assert (estimate.low, estimate.high, estimate.bounded) == (-np.inf, np.inf, False)
    assert bootstrap([(values,)], lambda a: a, clusters=[many]).bounded


def test_paired_proportions_by_hand():
    # n = 98, b = 9, c = 4: up = .10, down = .05, variance = (.15 - .0025) / 100, half = 1.95996 * .038406
    estimate = paired_proportions([(98, 9, 4, 1.0)])
    assert estimate.value == pytest.approx(5 / 98)
    assert (estimate.low, estimate.high) == pytest.approx((0.05 - 0.075274, 0.05 + 0.075274), abs=1e-6)


def test_paired_proportions_do_not_collapse_without_changes():
    estimate = paired_proportions([(400, 0, 0, 1.0)])
    assert estimate.value == 0.0
    assert -0.01 < estimate.low < 0.0 < estimate.high < 0.01


def test_bootstrap_agrees_with_scipy_and_is_reproducible():
    generator = np.random.default_rng(1)
    x = generator.gamma(4.0, 20.0, 150)
    y = 0.6 * x + generator.normal(0.0, 8.0, 150)
    ours = bootstrap([(y, x)], lambda a, b: a / b)
    theirs = stats.bootstrap(
        (y, x),
        lambda a, b, axis: a.mean(axis) / b.mean(axis),
        paired=True,
        method="percentile",
        n_resamples=4000,
        rng=np.random.default_rng(2),
    ).confidence_interval
    assert ours.value == pytest.approx(y.mean() / x.mean())
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.004)
    assert bootstrap([(y, x)], lambda a, b: a / b) == ours


def test_bootstrap_weighs_benchmarks_equally_and_resamples_each_in_itself():
    few, many = np.array([1.0, 1.0]), np.full(1000, 3.0)
    estimate = bootstrap([(few,), (many,)], lambda a: a)
    assert (estimate.value, estimate.low, estimate.high) == (2.0, 2.0, 2.0)


def _coverage(draw, truth, trials):
    generator = np.random.default_rng(0)
    intervals = [draw(generator) for _ in range(trials)]
    return np.mean([e.low <= truth <= e.high for e in intervals])


def test_wilson_covers():
    shares = [_coverage(lambda g, p=p: wilson(g.binomial(200, p), 200), p, 1500) for p in (0.3, 0.55, 0.8)]
    assert 0.93 <= np.mean(shares) <= 0.97


@pytest.mark.parametrize(("up", "down"), [(0.10, 0.10), (0.12, 0.04), (0.02, 0.02)])
def test_paired_proportions_cover(up, down):
    def draw(generator):
        right, wrong, _ = generator.multinomial(300, [up, down, 1 - up - down])
        return paired_proportions([(300, right, wrong, 1.0)])

    assert 0.93 <= _coverage(draw, up - down, 3000) <= 0.97


def test_average_of_paired_proportions_covers():
    def draw(generator):
        strata = [generator.multinomial(n, [0.1, 0.06, 0.84]) for n in (300, 200, 400)]
        return paired_proportions([(int(s.sum()), s[0], s[1], 1.0) for s in strata])

    assert 0.93 <= _coverage(draw, 0.04, 3000) <= 0.97


def test_token_ratio_covers(monkeypatch):
    monkeypatch.setattr(statistics, "RESAMPLES", 800)

    def draw(generator):
        difficulty = generator.gamma(6.0, 1.0, 150)
        long, short = difficulty * generator.gamma(9.0, 2.0, 150), difficulty * generator.gamma(9.0, 1.0, 150)
        return bootstrap([(short, long)], lambda a, b: a / b)

    assert 0.93 <= _coverage(draw, 0.5, 600) <= 0.97


def test_mean_interval_covers():
    draw = lambda generator: mean_interval(generator.gamma(4.0, 25.0, 200))  # noqa: E731
    assert 0.93 <= _coverage(draw, 100.0, 2000) <= 0.97
