import math

import pytest

from eval import Claim
from eval.claims import judge
from eval.results import Comparison
from eval.statistics import Estimate


def _comparison(ratio, difference, p=0.5):
    return Comparison(400, Estimate(*difference), p, 12, 10, None if ratio is None else Estimate(*ratio), False)


def _judge(results, claim, ratio, difference):
    results.comparisons["math"]["math"] = _comparison(ratio, difference)
    (verdict,) = judge([claim], results)
    return verdict


@pytest.fixture
def results(make_results):
    return make_results({"base": (0.5, 90), "math": (0.5, 40)}, items=10)


CLAIM = Claim("math", "math", min_token_reduction=0.42)


@pytest.mark.parametrize(
    ("ratio", "difference", "held", "confirmed", "word"),
    [
        ((0.50, 0.45, 0.55), (0.02, 0.005, 0.04), True, True, "50.0 % fewer tokens"),
        ((0.50, 0.45, 0.55), (0.02, -0.01, 0.05), True, False, "+2.0 points"),
        ((0.50, 0.45, 0.60), (0.02, 0.01, 0.05), True, False, "+40.0 to +55.0 %"),
        ((0.60, 0.55, 0.65), (0.02, 0.01, 0.05), False, False, "the reduction is too small"),
        ((1.20, 1.10, 1.30), (0.02, 0.01, 0.05), False, False, "20.0 % more tokens"),
        ((0.50, 0.45, 0.55), (-0.01, -0.04, 0.02), False, False, "sampling error alone could explain it"),
        ((0.50, 0.45, 0.55), (-0.05, -0.08, -0.02), False, False, "more than sampling error explains"),
        (None, (0.0, -0.02, 0.02), False, False, "no tokens to compare"),
    ],
)
def test_verdicts(results, ratio, difference, held, confirmed, word):
    verdict = _judge(results, CLAIM, ratio, difference)
    assert (verdict.held, verdict.confirmed) == (held, confirmed)
    assert word in verdict.explanation and "400 paired items" in verdict.explanation


def test_limits_are_inclusive(results):
    claim = Claim("math", "math", min_token_reduction=0.42, max_accuracy_loss=0.01)
    assert _judge(results, claim, (0.58, 0.5, 0.6), (-0.01, -0.04, 0.02)).held


def test_the_claim_in_words(results):
    assert (
        judge([CLAIM], results)[0].text == "math: at least 42 % fewer tokens than base on math, at no loss of accuracy"
    )
    average = Claim("math", min_token_reduction=0.3, max_accuracy_loss=0.01)
    assert judge([average], results)[0].text == (
        "math: at least 30 % fewer tokens than base on average over all benchmarks, "
        "at an accuracy loss of at most 1 points"
    )


def test_one_cluster_confirms_nothing(results):
    loose = Claim("math", "math", min_token_reduction=0.42, max_accuracy_loss=1.0)
    verdict = _judge(results, loose, (0.5, -math.inf, math.inf), (0.0, -1.0, 1.0))
    assert verdict.held and not verdict.confirmed
    assert "50.0 % fewer tokens (no interval from one cluster)" in verdict.explanation
    verdict = _judge(results, CLAIM, (0.5, -math.inf, math.inf), (-0.5, -1.0, 1.0))
    assert "sampling error alone could explain it" in verdict.explanation
