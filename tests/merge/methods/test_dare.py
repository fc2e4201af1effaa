import pytest
import torch

from merge.methods import (
    DareLinearOptions,
    DareTiesOptions,
    TaskArithmeticOptions,
    TiesOptions,
    dare_linear,
    dare_ties,
    task_arithmetic,
    ties,
)
from merge.methods._dare import drop_and_rescale


def _tensors(size: int, count: int = 3) -> tuple[torch.Tensor, list[torch.Tensor]]:
    base, *tau = torch.randn(count + 1, size, generator=torch.Generator().manual_seed(8))
    return base, [base + t for t in tau]


def test_without_dropping_it_is_the_method_it_builds_on() -> None:
    base, experts = _tensors(50)
    assert torch.equal(
        dare_linear(base, experts, DareLinearOptions(drop=0.0))[0],
        task_arithmetic(base, experts, TaskArithmeticOptions())[0],
    )
    torch.testing.assert_close(
        dare_ties(base, experts, DareTiesOptions(drop=0.0))[0], ties(base, experts, TiesOptions(density=1.0))[0]
    )


@pytest.mark.parametrize("drop", [0.1, 0.5, 0.9])
def test_share_and_size_of_what_is_kept(drop: float) -> None:
    vectors = torch.ones(2, 100_000)
    got = drop_and_rescale(vectors.clone(), drop, seed=1)
    kept = (got != 0).float().mean(1)
    assert kept.tolist() == pytest.approx([1 - drop, 1 - drop], abs=0.01)
    assert torch.unique(got).tolist() == pytest.approx([0.0, 1 / (1 - drop)])
    assert not torch.equal(got[0], got[1]), "each expert has draws of its own"
    assert torch.equal(got, drop_and_rescale(vectors.clone(), drop, seed=1))
    assert not torch.equal(got, drop_and_rescale(vectors.clone(), drop, seed=2))


def test_linear_and_ties_with_known_masks() -> None:
    base, experts = _tensors(1000)
    tau = drop_and_rescale(torch.stack(experts) - base, 0.7, seed=9)
    got = dare_linear(base, experts, DareLinearOptions(drop=0.7, scale=0.4), seed=9)[0]
    torch.testing.assert_close(got, base + 0.4 * tau.sum(0))
    agree = tau.sign() == tau.sum(0).sign()
    expected = (tau * agree).sum(0) / (agree & (tau != 0)).sum(0).clamp(min=1)
    got = dare_ties(base, experts, DareTiesOptions(drop=0.7), seed=9)[0]
    torch.testing.assert_close(got, base + expected)


def test_expectation_is_kept() -> None:
    base, experts = _tensors(20)
    options = DareLinearOptions(drop=0.5, scale=1.0)
    mean = sum(dare_linear(base, experts, options, seed=s)[0] for s in range(2000)) / 2000
    torch.testing.assert_close(mean, base + sum(e - base for e in experts), rtol=0, atol=0.25)
