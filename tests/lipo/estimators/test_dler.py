import torch

from lipo.estimators.dler import DlerConfig, dler


def test_by_hand(advantages):
    # r = 1, 0, 1, 0 and a = ±.5; over 1000 tokens the mean is −.1 and the variance 240/999
    assert advantages(dler, [1, 0, 1, 1], [100, 200, 300, 400], target_length=350, normalize_by_std=True) == [
        1.22413,
        -0.81609,
        1.22413,
        -0.81609,
    ]


def test_without_division(advantages):
    assert advantages(dler, [1, 0, 1, 1], [100, 200, 300, 400], target_length=350) == [0.6, -0.4, 0.6, -0.4]


def test_limit_is_inclusive(advantages):
    # r = 1, 0 and a = ±.5; mean over 201 tokens: −.5/201
    assert advantages(dler, [1, 1], [100, 101], target_length=100) == [0.5 + 0.5 / 201, -0.5 + 0.5 / 201]


def test_groups_are_normalised_together():
    estimate = dler(torch.tensor([1.0, 0, 1, 1]), torch.full((4,), 10), torch.tensor([0, 0, 1, 1]), DlerConfig())
    # a = .5, −.5, 0, 0 on 10 tokens each: mean 0, variance 5/39
    deviation = (5 / 39) ** 0.5
    assert torch.allclose(estimate.advantages * deviation, torch.tensor([0.5, -0.5, 0, 0]).double(), atol=1e-6)
