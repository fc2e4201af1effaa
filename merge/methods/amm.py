"""Adaptive Model Merging."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from lipo.common import LipoError, option
from merge.methods._deltas import add_to_base, moved, task_vectors
from merge.methods._registry import Effort, method
from merge.methods._shared import split_shared
from merge.methods._solver import SolverOptions, descend, descent_effort


@dataclass(frozen=True)
class AmmOptions(SolverOptions):
    """Options of ``amm``."""

    projection: float = option(
        0.1, help="λ: weight of the penalty on the gradient's part outside the span of the task vectors.", minimum=0
    )
    temperature: float = option(1.0, help="T of the softmax over cosines that makes β.", minimum=1e-6)
    shared: Literal["merge", "average"] = option(
        "merge",
        help="average: take the component common to all experts once, and merge only what is specific to each.",
    )

    def __post_init__(self) -> None:
        """Keep paper mode to what the paper describes."""
        if self.mode == "paper" and self.shared == "average":
            raise LipoError("shared: average is not part of mode: paper", "remove one of the two options")


def _effort(shape: Sequence[int], experts: int, options: AmmOptions) -> Effort:
    return descent_effort(shape, experts, options.steps, options.projection > 0, options.dtype.itemsize)


@method("amm", options=AmmOptions, matrices_only=True, effort=_effort)
def amm(base: Tensor, experts: Sequence[Tensor], options: AmmOptions) -> tuple[Tensor, dict[str, Any]]:
    """Adaptive Model Merging: WUDI's interference loss with adaptive task weights and a penalised gradient.

    For the weight matrix of a linear layer, with τ_i = W_i − W_0 and n experts, Adam minimises over τ_m

        Loss = Σ ω_i ‖(τ_m − τ_i) τ_iᵀ‖_F² / ‖τ_i‖_F² + λ ‖g − P g‖_F²,     ω_i = α_i β_i,
        α_i  = n ‖τ_i‖ / Σ_j ‖τ_j‖                                         task importance
        β_i  = n · softmax_i(cos(τ_m, τ_i) / T)                            compatibility, anew each step, detached
        g    = 2 Σ ω_i (τ_m − τ_i) τ_iᵀτ_i / ‖τ_i‖²
        P    = projector onto span{τ_1 … τ_n}

    and the result is W_0 + scale · τ_m. Source: Tiny-R1V, arXiv 2510.08987, which describes the parts in words
    (importance from task-vector norms, a dynamic compatibility factor, a penalty on the gradient outside the span of
    the task vectors); the formulas of α, β and the penalty, λ and T are this implementation's reading. The parent is
    WUDI-Merging, arXiv 2503.08099: Adam, learning rate 1e-5, 300 steps from the sum of the τ_i.

    Two things are ours and left out by ``mode: paper``. The learning rate is 0.01·rms(τ), because with an absolute
    one the result depends on how far the experts moved. And ``shared: average`` splits each τ_i into a component that
    all experts have in common, which enters the result once, and a specific remainder, which is merged as above:
    experts that all learnt the same thing would otherwise have it added up.

    An expert that left this layer as it was takes no part in it.

    Args:
        base: W_0, shape (out, in), float32 or float64.
        experts: W_1 … W_n, shaped like ``base``.
        options: See :class:`AmmOptions`.

    Returns:
        The merged matrix in the dtype of ``base`` and a log with ``loss_start``, ``loss_end``, ``form`` and, with
        ``shared: average``, ``shared``: ‖common‖² / mean ‖τ_i‖². The log is empty where at most one expert moved.

    Example:
        >>> first, second = torch.diag(torch.tensor([1.0, 0.0])), torch.diag(torch.tensor([0.0, 1.0]))
        >>> merged, log = amm(torch.zeros(2, 2), [first, second], AmmOptions())
        >>> torch.allclose(merged, first + second, atol=1e-3)  # without interference the sum is the solution
        True
    """
    work = base.to(options.dtype)
    vectors = moved(task_vectors(work, experts))
    if len(vectors) < 2:
        return add_to_base(work, vectors.sum(0).mul_(options.scale)).to(base.dtype), {}
    common: Tensor | None = None
    log: dict[str, Any] = {}
    if options.shared == "average":
        common, log = split_shared(vectors)
        vectors = moved(vectors)
    if len(vectors) > 1:
        weights = lambda norms, cosines: amm_weights(norms, cosines, options.temperature)  # noqa: E731
        delta, details = descend(vectors, weights, options.descent(options.projection))
        log |= details
    else:
        delta = vectors.sum(0)
    if common is not None:
        delta = delta.add_(common)
    return add_to_base(work, delta.mul_(options.scale)).to(base.dtype), log


def amm_weights(norms: Tensor, cosines: Tensor, temperature: float) -> Tensor:
    """ω_i = α_i β_i from the norms ‖τ_i‖ and the cosines cos(τ_m, τ_i), all of shape (n,)."""
    alpha = len(norms) * norms / norms.sum()
    return alpha * len(norms) * torch.softmax(cosines / temperature, dim=0)
