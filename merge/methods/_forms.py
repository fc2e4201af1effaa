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

from collections.abc import Iterator
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


# Elements of a block of rows where a whole temporary matrix would be one more layer in memory.
_BLOCK = 1 << 22


def row_blocks(rows: int, columns: int) -> Iterator[slice]:
    """Cut a matrix into blocks of rows that are large enough for a matrix product to run at full speed."""
    height = max(256, _BLOCK // columns)
    return (slice(start, min(start + height, rows)) for start in range(0, rows, height))


class _Span:
    """Projection onto span{u_i}, given the inner products with the u_i."""

    def __init__(self, units: Tensor) -> None:
        self.flat = units.flatten(1)
        gram = inner_products(self.flat, self.flat)
        values, vectors = torch.linalg.eigh(gram)
        # Parallel experts span fewer directions than there are experts; their noise is not a direction.
        keep = values > 1e-6 * values[-1]
        self.inverse = (vectors[:, keep] / values[keep]) @ vectors[:, keep].T

    def coefficients(self, gradient: Tensor) -> Tensor:
        """Return c with P g = Σ c_i u_i."""
        products = inner_products(self.flat, gradient.reshape(1, -1))
        return (self.inverse @ products).to(gradient.dtype).flatten()

    def remove(self, gradient: Tensor, coefficients: Tensor, rows: slice | None = None) -> Tensor:
        """Return g − P g, or some rows of it."""
        part = gradient if rows is None else gradient[rows]
        first = 0 if rows is None else rows.start * gradient.shape[1]
        flat = self.flat[:, first : first + part.numel()]
        return torch.addmv(part.flatten(), flat.T, coefficients, alpha=-1).view_as(part)


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

    def _target(self, index: int, rows: slice = slice(None)) -> Tensor:
        return torch.mul(self.units[index, rows], float(self.norms[index])).sub_(self.reference[rows])

    def gradient(self, offset: Tensor, weights: Tensor, projection: float) -> Tensor:
        """See :class:`Form`."""
        curvature = torch.tensordot(weights, self.grams, 1)
        gradient = torch.tensordot(weights, self.pulls, 1).addmm_(offset, curvature, beta=-1).mul_(2)
        if projection:
            coefficients = self.span.coefficients(gradient)
            for rows in row_blocks(*gradient.shape):
                outside = self.span.remove(gradient, coefficients, rows)
                gradient[rows].addmm_(outside, curvature, alpha=4 * projection)
        return gradient

    def losses(self, offset: Tensor) -> Tensor:
        """See :class:`Form`."""
        losses = torch.zeros(len(self.grams), dtype=torch.float64, device=offset.device)
        for rows in row_blocks(*offset.shape):
            for index, gram in enumerate(self.grams):
                error = offset[rows] - self._target(index, rows)
                losses[index] += (error @ gram).mul_(error).sum()
        return losses


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
            outside = self.span.remove(gradient, self.span.coefficients(gradient))
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
        "gram": (experts + 1) * columns**2 + experts * layer,
        "direct": 4 * experts * rows**2,
        "dual": 5 * experts * rows**2 + experts**2 * rows**2,
    }[form]
    # Base, mean, offset, two moments, the gradient and one more; then blocks.
    return itemsize * (own + (experts + 7) * layer + 4 * min(layer, _BLOCK))


def choose_form(rows: int, columns: int, experts: int, penalty: bool) -> str:
    """Name the form with the fewest operations, or one with up to a quarter more that keeps less memory."""
    cost = {form: flops_per_step(form, rows, columns, experts, penalty) for form in FORMS}
    near = [form for form in FORMS if cost[form] <= 1.25 * min(cost.values())]
    return min(near, key=lambda form: (form_memory(form, rows, columns, experts), cost[form]))
