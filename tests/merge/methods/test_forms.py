import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from merge.methods._forms import FORMS, choose_form, flops_per_step, form_memory, inner_products


def _layer(rows: int, columns: int, experts: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.randn(experts, rows, columns, generator=generator, dtype=torch.float64)
    weights = torch.rand(experts, generator=generator, dtype=torch.float64) + 0.5
    return vectors, weights


def _loss(tau: torch.Tensor, vectors: torch.Tensor, weights: torch.Tensor, projection: float) -> torch.Tensor:
    """The definition, differentiable twice."""

    def interference(x: torch.Tensor) -> torch.Tensor:
        return sum(w * ((x - t) @ t.T).square().sum() / t.square().sum() for w, t in zip(weights, vectors, strict=True))

    value = interference(tau)
    (gradient,) = torch.autograd.grad(value, tau, create_graph=True)
    basis, _ = torch.linalg.qr(vectors.flatten(1).T)
    flat = gradient.flatten()
    return value + projection * (flat - basis @ (basis.T @ flat)).square().sum()


def _form(name: str, vectors: torch.Tensor, reference: torch.Tensor):
    norms = vectors.flatten(1).norm(dim=1)
    return FORMS[name](vectors / norms.view(-1, 1, 1), norms, reference)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("shape", [(3, 7), (7, 3), (4, 4), (1, 6), (6, 1)])
@pytest.mark.parametrize("projection", [0.0, 0.3])
def test_gradient_is_autograds(form: str, shape: tuple[int, int], projection: float) -> None:
    vectors, weights = _layer(*shape, experts=3, seed=1)
    reference = vectors.mean(0)
    tau = (2.5 * reference + vectors[0]).requires_grad_()
    (expected,) = torch.autograd.grad(_loss(tau, vectors, weights, projection), tau)
    got = _form(form, vectors, reference).gradient((tau - reference).detach(), weights, projection)
    torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("form", FORMS)
def test_gradient_is_the_slope_by_finite_differences(form: str) -> None:
    vectors, weights = _layer(3, 5, experts=2, seed=2)
    reference = vectors.mean(0)
    tau = vectors.sum(0).requires_grad_()
    gradient = _form(form, vectors, reference).gradient((tau - reference).detach(), weights, 0.2)
    step = 1e-5
    for row, column in ((0, 0), (1, 3), (2, 4)):
        bump = torch.zeros_like(tau)
        bump[row, column] = step
        up = _loss((tau + bump).detach().requires_grad_(), vectors, weights, 0.2)
        down = _loss((tau - bump).detach().requires_grad_(), vectors, weights, 0.2)
        assert float((up - down).detach() / (2 * step)) == pytest.approx(float(gradient[row, column]), rel=1e-6)


@pytest.mark.parametrize("form", FORMS)
def test_losses_are_the_definition(form: str) -> None:
    vectors, _ = _layer(4, 6, experts=3, seed=3)
    reference = vectors.mean(0)
    tau = vectors.sum(0)
    expected = torch.stack([((tau - t) @ t.T).square().sum() / t.square().sum() for t in vectors])
    torch.testing.assert_close(_form(form, vectors, reference).losses(tau - reference), expected)


@pytest.mark.parametrize("form", FORMS)
def test_penalty_ignores_a_repeated_expert(form: str) -> None:
    """Two equal experts span one direction; a projector onto a made-up second one would hide part of the gradient."""
    vectors, _ = _layer(4, 6, experts=2, seed=4)
    twice = torch.stack([vectors[0], vectors[0], vectors[1]])
    reference = vectors.mean(0)
    offset = torch.randn(4, 6, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    once = _form(form, vectors, reference).gradient(offset, torch.tensor([2.0, 1.0]).double(), 0.5)
    got = _form(form, twice, reference).gradient(offset, torch.ones(3).double(), 0.5)
    torch.testing.assert_close(got, once, rtol=1e-6, atol=1e-9)


def test_choice_by_shape() -> None:
    assert choose_form(11008, 2048, experts=3, penalty=True) == "gram"
    assert choose_form(2048, 2048, experts=3, penalty=True) == "gram"
    assert choose_form(2048, 11008, experts=3, penalty=True) == "dual"
    assert choose_form(2048, 11008, experts=3, penalty=False) == "direct"
    assert choose_form(256, 2048, experts=3, penalty=False) == "direct"
    assert choose_form(256, 2048, experts=3, penalty=True) == "dual"


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(2, 6), st.booleans())
def test_choice_is_cheap_or_saves_memory(rows: int, columns: int, experts: int, penalty: bool) -> None:
    chosen = choose_form(rows, columns, experts, penalty)
    cost = {form: flops_per_step(form, rows, columns, experts, penalty) for form in FORMS}
    memory = {form: form_memory(form, rows, columns, experts) for form in FORMS}
    cheapest = min(FORMS, key=lambda form: cost[form])
    assert cost[chosen] <= 1.25 * cost[cheapest]
    assert memory[chosen] <= memory[cheapest]


@settings(max_examples=20)
@given(st.integers(1, 200_000))
def test_inner_products_keep_float64_digits(length: int) -> None:
    rows = torch.randn(2, length, generator=torch.Generator().manual_seed(length), dtype=torch.float64)
    torch.testing.assert_close(inner_products(rows, rows), rows @ rows.T)


def test_blocks_of_rows_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, weights = _layer(600, 7, experts=2, seed=6)
    reference = vectors.mean(0)
    offset = torch.randn(600, 7, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    whole = _form("gram", vectors, reference)
    expected = whole.gradient(offset, weights, 0.3), whole.losses(offset)
    monkeypatch.setattr("merge.methods._forms._BLOCK", 1)
    torch.testing.assert_close((whole.gradient(offset, weights, 0.3), whole.losses(offset)), expected)


def test_a_layer_takes_no_more_memory_than_planned() -> None:
    """In a process of its own, whose peak is the layer's; torch's compiler would be another 100 MB."""
    code = """
import resource, sys, torch
from merge.methods import AmmOptions, amm
torch.set_num_threads(1)
torch.ones(512, 512) @ torch.ones(512, 512)
base = torch.zeros(1600, 1600)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
experts = (torch.randn(1600, 1600, generator=torch.Generator().manual_seed(i)) for i in range(3))
class Lazy(list):
    def __len__(self): return 3
    def __iter__(self): return experts
amm(base, Lazy(), AmmOptions(steps=1))
assert "torch._dynamo" not in sys.modules
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    took, layer = int(done.stdout) * 1024, 1600 * 1600 * 4
    assert took < form_memory("gram", 1600, 1600, 3) + 2 * layer  # the product's own packing
