import numpy as np
import pytest

from recipes.tiny.study.bootstrap import interval, resample
from recipes.tiny.study.contents import contents


def test_one_answered_item_counts_for_every_seed():
    """Items are drawn once for all seeds: with two seeds alike, two are worth no more than one."""
    items = np.random.default_rng(0).random((1, 200, 1))
    apart = np.arange(200)
    one = interval(0, resample(items, apart)[:, 0])
    two = interval(0, resample(np.concatenate([items, items]), apart)[:, 0])
    assert two["high"] - two["low"] == pytest.approx(one["high"] - one["low"], rel=0.05)
    # Near the textbook's: ± 1.96 σ / √n.
    assert one["high"] - one["low"] == pytest.approx(2 * 1.96 * items.std() / np.sqrt(200), rel=0.05)


def test_items_of_equal_content_are_worth_one():
    """Each twice, with the same answers: as if there were half of them; a mean of means where groups differ in size."""
    items = np.random.default_rng(0).random((1, 100, 1))
    alone = resample(items, np.arange(100))
    assert resample(np.repeat(items, 2, axis=1), np.repeat(np.arange(100), 2)) == pytest.approx(alone)
    spread = resample(items, np.arange(100), "other").std()
    assert spread == pytest.approx(alone.std(), rel=0.05) and not np.allclose(
        resample(items, np.arange(100), "b"), alone
    )
    uneven = resample(np.array([[[0.0], [0.0], [1.0]]]), np.array([0, 0, 1]))
    assert set(uneven[:, 0].round(6)) == {0.0, 0.333333, 1.0}


@pytest.mark.parametrize(("task", "different"), [("math", 319), ("structured", 307), ("ocr", 400), ("video", 400)])
def test_contents_of_held_out_items(task, different):
    numbers = contents(task, 400)
    assert len(numbers) == 400 and set(numbers) == set(range(different))
    assert np.array_equal(contents(task, 40) == contents(task, 40)[0], numbers[:40] == numbers[0])


def test_the_order_of_sums_decides_nothing():
    """A bound half way between two roundings, which sums that differ in the last digits would push to either side."""
    samples = np.repeat([104.955, 104.9575], [100, 3900])
    exact = interval(104.9575, samples)
    for noise in (-1e-12, 1e-12):
        assert interval(104.9575, samples + noise) == exact
