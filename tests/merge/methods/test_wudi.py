import pytest
import torch

from merge.methods import WudiOptions, wudi
from merge.methods._solver import Descent, descend, equal_weights


def _problem(shape: tuple[int, int], dtype: torch.dtype) -> tuple[torch.Tensor, list[torch.Tensor]]:
    generator = torch.Generator().manual_seed(1)
    base = torch.randn(*shape, generator=generator, dtype=torch.float64)
    experts = [base + 1e-3 * (i + 1) * torch.randn(*shape, generator=generator, dtype=torch.float64) for i in range(3)]
    return base.to(dtype), [expert.to(dtype) for expert in experts]


def _autograd(vectors: torch.Tensor, steps: int, lr: float) -> tuple[torch.Tensor, list[float]]:
    """The published objective and torch's Adam; returns the result and the loss before each step and at the end."""
    merged = vectors.sum(0).requires_grad_()
    adam = torch.optim.Adam([merged], lr=lr, foreach=False)
    curve = []
    for step in range(steps + 1):
        loss = sum(((merged - t) @ t.T).square().sum() / t.square().sum() for t in vectors)
        curve.append(float(loss.detach()))
        if step < steps:
            adam.zero_grad()
            loss.backward()
            adam.step()
    return merged.detach(), curve


@pytest.mark.parametrize("shape", [(20, 30), (30, 20), (4, 50)])
@pytest.mark.parametrize(("dtype", "steps", "tolerance"), [(torch.float64, 20, 1e-8), (torch.float32, 300, 1e-3)])
@pytest.mark.parametrize("mode", ["scale_free", "paper"])
def test_against_autograd(shape, dtype, steps: int, tolerance: float, mode: str) -> None:
    base, experts = _problem(shape, dtype)
    vectors = torch.stack(experts) - base
    unit = float(vectors.square().mean().sqrt()) if mode == "scale_free" else 1.0
    expected, curve = _autograd(vectors / unit, steps, 0.01 if mode == "scale_free" else 1e-5)
    precision = "float64" if dtype == torch.float64 else "float32"
    merged, log = wudi(base, experts, WudiOptions(steps=steps, mode=mode, precision=precision))
    assert float((merged - base - unit * expected).norm() / (unit * expected).norm()) < tolerance
    assert log["loss_start"] == pytest.approx(unit**2 * curve[0], rel=1e-3)
    assert log["loss_end"] == pytest.approx(unit**2 * curve[-1], rel=1e-3)


@pytest.mark.parametrize("form", ["gram", "direct"])
def test_same_loss_curve(form: str) -> None:
    base, experts = _problem((12, 18), torch.float64)
    vectors = torch.stack(experts) - base
    vectors /= vectors.square().mean().sqrt()
    _, curve = _autograd(vectors, 60, 0.01)
    for steps in (0, 1, 7, 30, 60):
        how = Descent(steps, 0.01, scale_free=True, start="sum", form=form)
        _, log = descend(vectors.clone(), equal_weights, how)
        assert log["loss_end"] == pytest.approx(curve[steps], rel=1e-8)
        assert log["loss_start"] == pytest.approx(curve[0], rel=1e-8)
