import pytest

from lipo.estimators.gfpo import gfpo

LENGTHS = [400, 100, 300, 200]


def test_by_hand(advantages, statistics):
    # Kept: 100 and 200 tokens, rewards 0 and 1
    assert advantages(gfpo, [1, 0, 1, 1], LENGTHS) == [0, -0.5, 0, 0.5]
    assert advantages(gfpo, [1, 0, 1, 1], LENGTHS, normalize_by_std=True) == [0, -0.70711, 0, 0.70711]
    assert statistics(gfpo, [1.0, 0, 1, 1], LENGTHS)["kept"] == 0.5


def test_efficiency(advantages):
    # R/L = .0005, .005, .0033, 0: kept are 100 and 300 tokens, rewards .5 and 1
    assert advantages(gfpo, [0.2, 0.5, 1, 0], LENGTHS, metric="efficiency") == [0, -0.25, 0.25, 0]


def test_efficiency_prefers_the_shorter_of_equals(advantages):
    # R/L = 0, .01, 0, 0: the second place goes to the shortest wrong answer
    assert advantages(gfpo, [0, 1, 0, 0], LENGTHS, metric="efficiency") == [0, 0.5, 0, -0.5]


def test_responses_that_tie_for_the_last_place_are_all_kept(advantages):
    assert advantages(gfpo, [1, 0, 0, 1], [100, 200, 200, 300]) == [2 / 3, -1 / 3, -1 / 3, 0]


@pytest.mark.parametrize(("keep", "kept"), [(0, 1), (0.1, 1), (0.3, 3), (0.31, 4), (1, 10)])
def test_number_kept_is_rounded_up(statistics, keep, kept):
    share = statistics(gfpo, [1.0] * 10, list(range(1, 11)), keep=keep)["kept"]
    assert share == pytest.approx(kept / 10)
