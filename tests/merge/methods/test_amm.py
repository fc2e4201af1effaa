"""AMM against the definition written once more, with autograd and torch's own Adam."""

import pytest
import torch

from lipo.common import LipoError
from merge.methods import AmmOptions, amm, get_method
from merge.methods.amm import amm_weights


def _experts(shape: tuple[int, int], count: int, size: float, dtype: torch.dtype) -> tuple[torch.Tensor, list]:
    """Deltas with a common low-rank part and noise, as fine-tuning leaves them."""
    generator = torch.Generator().manual_seed(0)

    def normal(*sizes: int) -> torch.Tensor:
        return torch.randn(*sizes, generator=generator, dtype=torch.float64)

    base = normal(*shape)
    deltas = [size * (i + 1) * (normal(*shape) + 0.5 * normal(shape[0], 1) @ normal(1, shape[1])) for i in range(count)]
    return base.to(dtype), [(base + delta).to(dtype) for delta in deltas]


def _autograd_amm(base: torch.Tensor, experts: list, options: AmmOptions, dtype: torch.dtype) -> torch.Tensor:
    """The formulas of the docstring, nothing else."""
    tau = [(e.to(dtype) - base.to(dtype)) for e in experts]
    count = len(tau)
    if options.mode == "scale_free":
        unit = float(torch.stack(tau).square().mean().sqrt())
        tau, rate = [t / unit for t in tau], 0.01
    else:
        unit, rate = 1.0, 1e-5
    start = torch.stack(tau).sum(0) if options.init == "sum" else torch.stack(tau).mean(0)
    merged = start.clone().requires_grad_()
    adam = torch.optim.Adam([merged], lr=rate if options.lr is None else options.lr, foreach=False)
    basis, _ = torch.linalg.qr(torch.stack([t.flatten() for t in tau], 1))
    norms = torch.stack([t.norm() for t in tau])
    for _ in range(options.steps):
        with torch.no_grad():
            cosines = torch.stack([(merged * t).sum() / (merged.norm() * t.norm()) for t in tau])
            omega = count * norms / norms.sum() * count * torch.softmax(cosines / options.temperature, 0)
        loss = sum(w * ((merged - t) @ t.T).square().sum() / t.square().sum() for w, t in zip(omega, tau, strict=True))
        (gradient,) = torch.autograd.grad(loss, merged, create_graph=True)
        flat = gradient.flatten()
        outside = flat - basis @ (basis.T @ flat)
        adam.zero_grad()
        (loss + options.projection * outside.square().sum()).backward()
        adam.step()
    return base.to(dtype) + options.scale * unit * merged.detach()


SHAPES = [(24, 40), (40, 24), (6, 64)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("init", ["sum", "mean"])
@pytest.mark.parametrize("size", [1e-5, 1e-2])
def test_twenty_steps_in_float64(shape: tuple[int, int], init: str, size: float) -> None:
    base, experts = _experts(shape, 3, size, torch.float64)
    options = AmmOptions(steps=20, init=init, projection=0.3, temperature=0.5, precision="float64")
    merged, _ = amm(base, experts, options)
    expected = _autograd_amm(base, experts, options, torch.float64)
    assert float((merged - expected).norm() / (expected - base).norm()) < 1e-8


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("init", ["sum", "mean"])
def test_three_hundred_steps_in_float32(shape: tuple[int, int], init: str) -> None:
    base, experts = _experts(shape, 3, 1e-3, torch.float32)
    options = AmmOptions(init=init)
    merged, _ = amm(base, experts, options)
    expected = _autograd_amm(base, experts, options, torch.float32)
    assert float((merged - expected).norm() / (expected - base).norm()) < 1e-3


def test_paper_mode_uses_the_absolute_rate() -> None:
    base, experts = _experts((12, 20), 2, 1e-4, torch.float64)
    options = AmmOptions(mode="paper", precision="float64", steps=20)
    merged, _ = amm(base, experts, options)
    expected = _autograd_amm(base, experts, options, torch.float64)
    assert float((merged - expected).norm() / (expected - base).norm()) < 1e-8


def test_default_result_does_not_depend_on_how_far_the_experts_moved() -> None:
    base, experts = _experts((8, 12), 3, 1.0, torch.float64)
    deltas, zero = [expert - base for expert in experts], torch.zeros_like(base)
    options = AmmOptions(precision="float64")
    large, _ = amm(zero, deltas, options)
    small, _ = amm(zero, [1e-6 * delta for delta in deltas], options)
    torch.testing.assert_close(small * 1e6, large, rtol=1e-9, atol=1e-12)


def test_orthogonal_experts_do_not_interfere() -> None:
    base = torch.zeros(4, 4)
    first, second = torch.diag(torch.tensor([1.0, 2, 0, 0])), torch.diag(torch.tensor([0, 0, 3.0, 1]))
    merged, log = amm(base, [first, second], AmmOptions())
    torch.testing.assert_close(merged, first + second, rtol=0, atol=1e-5)
    assert log["loss_start"] < 1e-8


def test_weights_by_hand() -> None:
    got = amm_weights(torch.tensor([1.0, 3.0]), torch.tensor([0.0, 0.5]), temperature=0.5)
    # α = 2·(1/4, 3/4); β = 2·(1, e)/(1 + e).
    torch.testing.assert_close(got, torch.tensor([0.5 * 0.537883, 1.5 * 1.462117]), rtol=1e-5, atol=0)


def test_an_expert_that_did_not_move_takes_no_part() -> None:
    base, experts = _experts((6, 9), 2, 1e-2, torch.float32)
    with_idle, _ = amm(base, [*experts, base.clone()], AmmOptions(steps=30))
    without, _ = amm(base, experts, AmmOptions(steps=30))
    assert torch.equal(with_idle, without)


def test_unknown_option_is_an_error() -> None:
    with pytest.raises(LipoError, match="did you mean 'projection'"):
        get_method("amm").parse_options({"projektion": 1}, "options")
