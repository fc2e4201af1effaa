from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.at_k import budgets, majority, pass_at_k

SCORES = st.lists(st.sampled_from([0.0, 0.25, 1.0]), min_size=1, max_size=7)


@given(SCORES, st.data())
def test_pass_at_k_is_the_mean_best_of_every_choice_of_k(scores, data):
    k = data.draw(st.integers(1, len(scores)))
    expected = np.mean([max(choice) for choice in combinations(scores, k)])
    assert pass_at_k(scores, k) == pytest.approx(expected)


@pytest.mark.parametrize(("right", "k", "expected"), [(0, 3, 0.0), (1, 1, 0.1), (3, 5, 1 - 21 / 252), (6, 5, 1.0)])
def test_pass_at_k_is_the_estimator_of_chen_et_al(right, k, expected):
    assert pass_at_k([1.0] * right + [0.0] * (10 - right), k) == pytest.approx(expected)


def test_pass_at_k_is_unbiased():
    generator = np.random.default_rng(0)
    draws = generator.random((20_000, 6)) < 0.3
    assert np.mean([pass_at_k(d.astype(float), 3) for d in draws]) == pytest.approx(1 - 0.7**3, abs=0.01)


@pytest.mark.parametrize(
    ("predictions", "scores", "expected"),
    [
        (["7", "7", "9"], [1, 1, 0], 1.0),
        (["7", "9", "9"], [1, 0, 0], 0.0),
        (["7", "9"], [1, 0], 0.5),
        (["7", "8", "9"], [1, 0, 0], 1 / 3),
        (["", "", "7"], [0, 0, 1], 1.0),
        (["", ""], [0, 0], 0.0),
        (["Red Car", "redcar ", "blue", "green"], [1, 1, 0, 0], 1.0),
    ],
)
def test_majority_by_hand(predictions, scores, expected):
    assert majority(predictions, scores) == pytest.approx(expected)
    assert majority(predictions[::-1], scores[::-1]) == pytest.approx(expected)


def test_budgets():
    assert [budgets(n) for n in (1, 2, 5, 8)] == [[1], [1, 2], [1, 2, 4, 5], [1, 2, 4, 8]]
