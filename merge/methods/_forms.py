"""Three ways to compute the same gradient of the interference loss; the cheapest is chosen per layer.

With unit task vectors u_i = τ_i / ‖τ_i‖ (out × in), weights ω_i and A = [u_1; …; u_n] (n·out × in), the loss

    Σ ω_i ‖(τ_m − τ_i) u_iᵀ‖_F²    has the gradient    g = 2 Σ ω_i (τ_m − τ_i) u_iᵀu_i = 2 (τ_m C − D),
    C = Σ ω_i u_iᵀu_i,   D = Σ ω_i τ_i u_iᵀu_i,

and the penalty λ ‖g − P g‖² with P the projector onto span{u_i} adds 4 λ (g − P g) C. The unknown is kept as the
offset X = τ_m − R from a reference R (the mean of the τ_i), and D is taken from the differences τ_i − R: near the
optimum this loses fewer digits than τ_m C − D.

Multiplications per step, with the penalty (without it half of it, and ``dual`` is ``direct``):

    gram     4·out·in²              keeps n matrices of in × in
    direct   8·n·out²·in            keeps n matrices of out × out
    dual     4·n·out²·in + 2·n²·out³   keeps A Aᵀ (n·out × n·out)
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor


class Form(Protocol):
    """Gradient of the loss at offset X for weights ω; the three classes agree up to rounding.

    All are made from the unit task vectors u_i (n, out, in), the norms ‖τ_i‖ (n,) and the reference R (out, in).
    """

    def gradient(self, offset: Tensor, weights: Tensor, projection: float) -> Tensor:
        """Total gradient, penalty included; shape (out, in)."""

    def losses(self, offset: Tensor) -> Tensor:
        """‖(τ_m − τ_i) u_iᵀ‖_F² for each i; shape (n,)."""


class _Span:
    """Projection onto span{u_i}, given the inner products with the u_i."""

    def __init__(self, units: Tensor) -> None:
        self.flat = units.flatten(1)
        gram = inner_products(self.flat, self.flat)
        values, vectors = torch.linalg.eigh(gram)
        # Parallel experts span fewer directions than there are experts; their noise is not a direction.
        keep = values > 1e-6 * values[-1]
        self.inverse = (vectors[:, keep] / values[keep]) @ vectors[:, keep].T

    def remove(self, gradient: Tensor) -> Tensor:
        """Return g − P g."""
        products = inner_products(self.flat, gradient.reshape(1, -1))
        coefficients = (self.inverse @ products).to(gradient.dtype)
        return torch.addmv(gradient.flatten(), self.flat.T, coefficients.flatten(), alpha=-1).view_as(gradient)


def inner_products(rows: Tensor, others: Tensor) -> Tensor:
    """⟨row_a, other_b⟩ in float64, shape (rows, others), summed in blocks so that float32 inputs keep their digits."""
    total = torch.zeros(len(rows), len(others), dtype=torch.float64, device=rows.device)
    for start in range(0, rows.shape[1], 1 << 16):
        total += (rows[:, start : start + (1 << 16)] @ others[:, start : start + (1 << 16)].T).double()
    return total


class Gram:
    """Keeps G_i = u_iᵀu_i; best for layers with in ≤ n·out."""

    def __init__(self, units: Tensor, norms: Tensor, reference: Tensor) -> None:
        """See :class:`Form`."""
        self.units, self.norms, self.reference = units, norms, reference
        self.grams = units.mT @ units
        self.pulls = torch.empty_like(units)
        for index, gram in enumerate(self.grams):
            torch.mm(self._target(index), gram, out=self.pulls[index])
        self.span = _Span(units)

    def _target(self, index: int) -> Tensor:
        return torch.add(-self.reference, self.units[index], alpha=float(self.norms[index]))

    def gradient(self, offset: Tensor, weights: Tensor, projection: float) -> Tensor:
        """See :class:`Form`."""
        curvature = torch.tensordot(weights, self.grams, 1)
        gradient = torch.tensordot(weights, self.pulls, 1).addmm_(offset, curvature, beta=-1).mul_(2)
        if projection:
            gradient.addmm_(self.span.remove(gradient), curvature, alpha=4 * projection)
        return gradient

    def losses(self, offset: Tensor) -> Tensor:
        """See :class:`Form`."""
        losses = []
        for index, gram in enumerate(self.grams):
            error = offset - self._target(index)
            losses.append((error @ gram).mul_(error).sum())
        return torch.stack(losses)


class Direct:
    """Multiplies by the u_i themselves; best for layers with few rows."""

    def __init__(self, units: Tensor, norms: Tensor, reference: Tensor) -> None:
        """See :class:`Form`."""
        self.count, self.out, self.width = units.shape
        self.stacked = units.reshape(self.count * self.out, self.width)
        self.pulls = torch.cat(
            [torch.add(-reference, u, alpha=float(norm)) @ u.T for norm, u in zip(norms, units, strict=True)], dim=1
        )
        self.span = _Span(units)

    def residuals(self, offset: Tensor) -> Tensor:
        """(τ_m − τ_i) u_iᵀ side by side; shape (out, n·out)."""
        return torch.addmm(self.pulls, offset, self.stacked.T, beta=-1)

    def weighted(self, blocks: Tensor, weights: Tensor) -> Tensor:
        """Multiply the i-th of n blocks of columns by ω_i."""
        return (blocks.view(self.out, self.count, self.out) * weights.view(1, -1, 1)).view(self.out, -1)

    def gradient(self, offset: Tensor, weights: Tensor, projection: float) -> Tensor:
        """See :class:`Form`."""
        gradient = (self.weighted(self.residuals(offset), weights) @ self.stacked).mul_(2)
        if projection:
            outside = self.span.remove(gradient)
            gradient.addmm_(self.weighted(outside @ self.stacked.T, weights), self.stacked, alpha=4 * projection)
        return gradient

    def losses(self, offset: Tensor) -> Tensor:
        """See :class:`Form`."""
        return self.residuals(offset).view(self.out, self.count, self.out).square().sum(dim=(0, 2))


class Dual(Direct):
    """Takes the penalty from A Aᵀ instead of a second pass over A; best for layers much wider than they are high."""

    def __init__(self, units: Tensor, norms: Tensor, reference: Tensor) -> None:
        """See :class:`Form`."""
        super().__init__(units, norms, reference)
        self.kernel = self.stacked @ self.stacked.T

    def gradient(self, offset: Tensor, weights: Tensor, projection: float) -> Tensor:
        """See :class:`Form`."""
        half = self.weighted(self.residuals(offset), weights)
        if projection:
            # u_k Aᵀ are rows of A Aᵀ, so ⟨g, u_k⟩ and (g − P g) Aᵀ need no multiplication by A.
            rows = self.kernel.view(self.count, -1)
            products = 2 * inner_products(rows, half.reshape(1, -1))
            coefficients = (self.span.inverse @ products).to(half.dtype).flatten()
            outside = 2 * (half @ self.kernel) - torch.tensordot(coefficients, rows, 1).view_as(half)
            half = half.add_(self.weighted(outside, weights), alpha=2 * projection)
        return (half @ self.stacked).mul_(2)


FORMS: dict[str, type[Gram] | type[Direct] | type[Dual]] = {"gram": Gram, "direct": Direct, "dual": Dual}


def flops_per_step(form: str, rows: int, columns: int, experts: int, penalty: bool) -> float:
    """Floating-point operations of one gradient; see the table at the top of the file."""
    gram, direct = 2.0 * rows * columns**2, 4.0 * experts * rows**2 * columns
    if form == "gram":
        return gram * (1 + penalty)
    if form == "direct":
        return direct * (1 + penalty)
    return direct + 2.0 * penalty * experts**2 * rows**3


def form_memory(form: str, rows: int, columns: int, experts: int, itemsize: int = 4) -> int:
    """Bytes of one layer's merge at its peak: base, unit task vectors, Adam's state and the form's own matrices."""
    layer = rows * columns
    own = {
        "gram": (experts + 1) * columns**2 + (experts + 1) * layer,
        "direct": 4 * experts * rows**2,
        "dual": 5 * experts * rows**2 + experts**2 * rows**2,
    }[form]
    return itemsize * (own + (experts + 10) * layer)


def choose_form(rows: int, columns: int, experts: int, penalty: bool) -> str:
    """Name the form with the fewest operations, or one with up to a quarter more that keeps less memory."""
    cost = {form: flops_per_step(form, rows, columns, experts, penalty) for form in FORMS}
    near = [form for form in FORMS if cost[form] <= 1.25 * min(cost.values())]
    return min(near, key=lambda form: (form_memory(form, rows, columns, experts), cost[form]))
