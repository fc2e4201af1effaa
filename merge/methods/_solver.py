"""Gradient descent on the interference loss of one linear layer: the loop that WUDI, AMM and OptMerge share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.optim.adam import adam
from torch.optim.sgd import sgd

from lipo.common import option
from merge.methods._deltas import mean_vector
from merge.methods._forms import FORMS, choose_form, flops_per_step, form_memory, inner_products, row_blocks
from merge.methods._registry import PASS, Effort

Weights = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class SolverOptions:
    """Options of every method that descends with Adam."""

    scale: float = option(1.0, help="Factor on the merged task vector; choose it on validation data.")
    steps: int = option(300, help="Adam steps per layer.", minimum=0)
    init: Literal["sum", "mean"] = option("sum", help="Where the merged task vector starts: sum or mean of the τ_i.")
    mode: Literal["scale_free", "paper"] = option(
        "scale_free",
        help="scale_free: learning rate relative to the layer's rms task vector; paper: absolute, as WUDI-Merging.",
    )
    lr: float | None = option(
        None, help="Learning rate; by default 0.01 (times rms τ) if scale_free, 1e-5 in paper mode.", minimum=0
    )
    precision: Literal["float32", "float64"] = option("float32", help="Arithmetic of the optimisation.")

    @property
    def dtype(self) -> torch.dtype:
        """Arithmetic as torch names it."""
        return torch.float64 if self.precision == "float64" else torch.float32

    def descent(self, projection: float = 0.0) -> Descent:
        """Turn the options into settings of the loop."""
        paper = self.mode == "paper"
        rate = self.lr if self.lr is not None else (1e-5 if paper else 1e-2)
        return Descent(self.steps, rate, scale_free=not paper, start=self.init, projection=projection)


@dataclass(frozen=True)
class Descent:
    """How to descend.

    Attributes:
        steps: Optimiser steps.
        lr: Learning rate: in units of the layer's rms task vector if ``scale_free``, else absolute.
        scale_free: Divide the layer by rms(τ) first, so that the same settings suit task vectors of any size.
        start: ``sum`` or ``mean`` of the task vectors.
        projection: λ of the penalty on the gradient's part outside the span of the task vectors.
        optimiser: ``adam`` (betas 0.9 and 0.999, eps 1e-8) or ``sgd`` (momentum 0.9).
        form: Which form computes the gradient; ``None`` takes the cheapest.
    """

    steps: int
    lr: float
    scale_free: bool
    start: str
    projection: float = 0.0
    optimiser: str = "adam"
    form: str | None = None


def equal_weights(norms: Tensor, cosines: Tensor) -> Tensor:
    """ω_i = 1: no expert counts more than another."""
    return torch.ones_like(norms)


def descend(
    vectors: Tensor, weights: Weights, how: Descent, proxies: Tensor | None = None
) -> tuple[Tensor, dict[str, Any]]:
    """Minimise Σ ω_i ‖(τ_m − p_i) p_iᵀ‖_F² / ‖τ_i‖_F² + λ ‖g − P g‖_F² over τ_m, ω held fixed in each step.

    Args:
        vectors: Task vectors τ_i that are not zero, shape (n, out, in); overwritten.
        weights: Maps the norms ‖τ_i‖ and the cosines cos(τ_m, p_i), both shaped (n,), to ω, shape (n,); called
            before each step.
        how: Settings.
        proxies: p_i, shape (n, out, in), overwritten; the task vectors themselves by default.

    Returns:
        τ_m, shape (out, in), and a log with ``loss_start``, ``loss_end`` (without the penalty, ω of that moment, in
        units of the squared task vectors) and ``form``.
    """
    count, rows, columns = vectors.shape
    unit = float(vectors.square().mean().sqrt()) if how.scale_free else 1.0
    mean = mean_vector(vectors).div_(unit)
    norms = torch.linalg.vector_norm(vectors, dim=(1, 2), dtype=torch.float64) / unit
    units = (vectors if proxies is None else proxies).div_((norms * unit).to(vectors.dtype).view(-1, 1, 1))
    flat = units.flatten(1)
    lengths = torch.linalg.vector_norm(flat, dim=1, dtype=torch.float64).clamp_min(1e-300)
    mean_products = inner_products(flat, mean.reshape(1, -1)).flatten()

    form_name = how.form or choose_form(rows, columns, count, how.projection > 0)
    form = FORMS[form_name](units, norms, mean)
    offset = mean * (count - 1) if how.start == "sum" else torch.zeros_like(mean)

    def current_weights() -> Tensor:
        if weights is equal_weights:
            return torch.ones(count, dtype=offset.dtype, device=offset.device)
        products = inner_products(flat, offset.reshape(1, -1)).flatten() + mean_products
        return weights(norms, products / (_norm_of_sum(offset, mean) * lengths)).to(offset.dtype)

    def loss() -> float:
        return float(current_weights().double() @ form.losses(offset).double()) * unit**2

    start = loss()
    optimiser = _Adam(offset, how.lr) if how.optimiser == "adam" else _Sgd(offset, how.lr)
    for _ in range(how.steps):
        # Passed on without a name: held here, it would still be in memory while the next one is computed.
        optimiser.step(form.gradient(offset, current_weights(), how.projection))
    # The loss needs memory of its own.
    del optimiser
    log = {"loss_start": start, "loss_end": loss(), "form": form_name}
    return offset.add_(mean).mul_(unit), log


def _norm_of_sum(left: Tensor, right: Tensor) -> Tensor:
    """‖left + right‖ in float64; the whole sum in float64 would be three layers in memory."""
    blocks = row_blocks(*left.shape)
    norms = [torch.linalg.vector_norm(left[rows] + right[rows], dtype=torch.float64) for rows in blocks]
    return torch.linalg.vector_norm(torch.stack(norms)).clamp_min(1e-300)


class _Adam:
    """torch's fused Adam without ``torch.optim.Adam``, whose start loads torch's compiler: 100 MB and a second."""

    def __init__(self, parameter: Tensor, lr: float) -> None:
        """Update ``parameter`` in place, with betas 0.9 and 0.999 and eps 1e-8."""
        self.parameter, self.lr = parameter, lr
        self.mean, self.square = torch.zeros_like(parameter), torch.zeros_like(parameter)
        self.count = torch.zeros((), dtype=torch.float32, device=parameter.device)

    def step(self, gradient: Tensor) -> None:
        """Take one step."""
        adam(
            [self.parameter],
            [gradient],
            [self.mean],
            [self.square],
            [],
            [self.count],
            fused=True,
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=self.lr,
            weight_decay=0.0,
            eps=1e-8,
            maximize=False,
        )


class _Sgd:
    """torch's fused SGD, in the same way."""

    def __init__(self, parameter: Tensor, lr: float) -> None:
        """Update ``parameter`` in place, with momentum 0.9."""
        self.parameter, self.lr = parameter, lr
        self.momentum: list[Tensor | None] = [None]

    def step(self, gradient: Tensor) -> None:
        """Take one step."""
        sgd(
            [self.parameter],
            [gradient],
            self.momentum,
            fused=True,
            weight_decay=0.0,
            momentum=0.9,
            lr=self.lr,
            dampening=0.0,
            nesterov=False,
            maximize=False,
        )


def descent_effort(shape: Sequence[int], experts: int, steps: int, penalty: bool = False, itemsize: int = 4) -> Effort:
    """Cost of :func:`descend` in its cheapest form."""
    rows, columns = shape
    form = choose_form(rows, columns, experts, penalty)
    per_step = flops_per_step(form, rows, columns, experts, penalty) + (2 * experts + 12) * PASS * rows * columns
    # The two losses cost up to n steps each.
    return Effort((steps + 2 * experts) * per_step, form_memory(form, rows, columns, experts, itemsize))
