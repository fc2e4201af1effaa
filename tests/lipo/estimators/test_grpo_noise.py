import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lipo.estimators.grpo_noise import grpo_noise

ROWS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(1, 6), st.sampled_from([0.0, -2.0, 1.0])), min_size=1, max_size=24
)


def noise(scores, lengths, groups=None, **options):
    """What is added to the advantages."""
    scores, lengths = torch.tensor(scores, dtype=torch.float64), torch.tensor(lengths)
    groups = torch.zeros_like(lengths) if groups is None else torch.tensor(groups)
    noisy, plain = (
        grpo_noise(scores, lengths, groups, grpo_noise.options({**options, "noise_std": std})).advantages
        for std in (options.get("noise_std", 0.02), 0)
    )
    return noisy - plain


def test_advantage_by_hand(advantages):
    # Mean 0.75, deviations 1, -1, 1, -1 (times 0.75): σ² = 4 · 0.5625 / 3, σ = 0.866025
    expected = 0.75 / (math.sqrt(0.75) + 1e-4)
    rewards, lengths = [1.5, 0.0, 1.5, 0.0], [5, 6, 7, 8]
    assert advantages(grpo_noise, rewards, lengths, normalize_by_std=True, noise_std=0) == [
        expected,
        -expected,
        expected,
        -expected,
    ]
    assert advantages(grpo_noise, rewards, lengths, noise_std=0) == [0.75, -0.75, 0.75, -0.75]
    # Two rewards 0.1 apart: σ = 0.1/√2
    assert advantages(grpo_noise, [0.1, 0.0], [1, 2], normalize_by_std=True, noise_std=0, epsilon=0.1) == [
        0.05 / (0.1 / math.sqrt(2) + 0.1),
        -0.05 / (0.1 / math.sqrt(2) + 0.1),
    ]


def test_groups_of_equal_rewards_have_a_gradient():
    added = noise([2.0] * 8, [30] * 8)
    assert added.unique().numel() == 8
    assert (added != 0).all()


def test_noise_is_normal_with_the_given_deviation():
    n = 20_000
    added = noise([float(i % 3) for i in range(n)], [1 + i % 50 for i in range(n)], [i // 8 for i in range(n)])
    assert abs(added.mean().item()) < 4 * 0.02 / math.sqrt(n)
    assert added.std().item() == pytest.approx(0.02, rel=0.03)
    for limit, share in ((1.0, 0.6827), (2.0, 0.9545), (3.0, 0.9973)):
        assert (added.abs() < 0.02 * limit).double().mean().item() == pytest.approx(share, abs=0.015)
    neighbours = torch.corrcoef(torch.stack([added[:-1], added[1:]]))[0, 1].item()
    assert abs(neighbours) < 4 / math.sqrt(n)


def test_equal_batches_get_equal_noise_and_others_do_not():
    scores, lengths, groups = [1.0, 0.0, 1.0, 1.0], [5, 6, 7, 7], [0, 0, 1, 1]
    first = noise(scores, lengths, groups)
    assert torch.equal(first, noise(scores, lengths, groups))
    assert torch.equal(first, noise(scores, lengths, [9, 9, 4, 4]))
    # Any change anywhere changes all of it: the next step differs even for a group that looks the same.
    for other in (
        noise([1.0, 0.5, 1.0, 1.0], lengths, groups),
        noise(scores, [5, 6, 7, 8], groups),
        noise(scores, lengths, groups, seed=1),
    ):
        assert (first != other).all()


@given(ROWS, st.randoms(use_true_random=False))
def test_noise_follows_the_rows_into_any_order(rows, random):
    """Rows that are alike may swap their draws; so may groups. Everything else keeps its own."""

    def drawn(rows):
        groups, lengths, scores = (list(column) for column in zip(*rows, strict=True))
        added = noise(scores, lengths, groups).tolist()
        by_group = {}
        for row, value in zip(rows, added, strict=True):
            by_group.setdefault(row[0], []).append((*row[1:], round(value, 12)))
        return sorted(sorted(members) for members in by_group.values())

    assert drawn(rows) == drawn(random.sample(rows, len(rows)))


def test_two_zeros_are_one():
    assert torch.equal(noise([0.0, 1.0], [3, 4]), noise([-0.0, 1.0], [3, 4]))


def test_statistic_is_the_root_mean_square():
    scores, lengths = torch.ones(5), torch.arange(1, 6)
    estimate = grpo_noise(scores, lengths, torch.zeros(5, dtype=torch.int64))
    assert estimate.statistics["noise"] == pytest.approx(estimate.advantages.square().mean().sqrt().item())
    assert (
        "noise"
        not in grpo_noise(
            scores, lengths, torch.zeros(5, dtype=torch.int64), grpo_noise.options({"noise_std": 0})
        ).statistics
    )
