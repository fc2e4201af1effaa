import pytest
import torch

from merge.methods import SwudiOptions, swudi


def _problem(shape: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    return torch.randn(*shape, generator=generator).double(), torch.randn(3, *shape, generator=generator).double()


@pytest.mark.parametrize("shape", [(12, 20), (20, 12), (3, 30)])
@pytest.mark.parametrize("init", ["sum", "mean"])
@pytest.mark.parametrize("rank", [0.3, 0.85, 1.0])
def test_against_the_formula(shape: tuple[int, int], init: str, rank: float) -> None:
    base, tau = _problem(shape)
    gram = sum(t.T @ t / t.square().sum() for t in tau)
    pull = sum(t @ t.T @ t / t.square().sum() for t in tau)
    values, vectors = torch.linalg.eigh(gram)
    kept = -(-int(1000 * rank) * shape[1] // 1000)
    weights = (1 - torch.exp(-values * 40)) * (torch.arange(len(values)) >= len(values) - kept)
    weights = torch.where(values > 1e-8, weights, 0)
    start = tau.sum(0) if init == "sum" else tau.mean(0)
    expected = start + (pull @ vectors / values.clamp_min(1e-8) - start @ vectors) * weights @ vectors.T
    got, _ = swudi(base, list(base + tau), SwudiOptions(time=40, rank=rank, init=init))
    torch.testing.assert_close(got - base, expected, rtol=1e-7, atol=1e-9)


def test_follows_the_gradient_flow() -> None:
    """The filter is what plain gradient descent with tiny steps does in the same time."""
    base, tau = _problem((6, 8))
    grams = torch.stack([t.T @ t / t.square().sum() for t in tau])
    flow = tau.sum(0)
    for _ in range(20_000):
        flow = flow - 1e-3 * ((flow - tau) @ grams).sum(0)
    got, _ = swudi(base, list(base + tau), SwudiOptions(time=20, rank=1.0))
    torch.testing.assert_close(got - base, flow, rtol=1e-2, atol=1e-3)


def test_no_time_or_no_rank_keeps_the_start() -> None:
    base, tau = _problem((6, 8))
    for options in (SwudiOptions(time=0.0), SwudiOptions(rank=0.0)):
        torch.testing.assert_close(swudi(base, list(base + tau), options)[0], base + tau.sum(0))
