"""OptMerge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lipo.common import option
from merge.methods._deltas import add_to_base, moved, task_vectors
from merge.methods._registry import Effort, method
from merge.methods._solver import Descent, descend, descent_effort, equal_weights
from merge.methods._spectra import svd_effort, truncate


@dataclass(frozen=True)
class OptMergeOptions:
    """Options of ``optmerge``."""

    scale: float = option(1.0, help="Factor on the merged task vector; choose it on validation data.")
    steps: int = option(300, help="SGD steps per layer.", minimum=0)
    lr: float = option(1e-4, help="Learning rate of SGD with momentum 0.9; the loss makes it scale-free.", minimum=0)


def _effort(shape: Sequence[int], experts: int, options: OptMergeOptions) -> Effort:
    descent, svd = descent_effort(shape, experts, options.steps), svd_effort(shape, experts)
    return Effort(descent.flops + svd.flops, descent.memory + svd.memory)


@method("optmerge", options=OptMergeOptions, matrices_only=True, effort=_effort)
def optmerge(base: Tensor, experts: Sequence[Tensor], options: OptMergeOptions) -> tuple[Tensor, dict[str, Any]]:
    """OptMerge: WUDI's loss on denoised task vectors, descended gently from their mean.

    For the weight matrix of a linear layer, with τ_i = W_i − W_0 = U S Vᵀ and r = ⌊min(out, in) / n⌋,

        T_i = U_r S_r V_rᵀ,   B_i = S_r V_rᵀ,   Loss = Σ ‖(τ_m − T_i) B_iᵀ‖_F² / ‖τ_i‖_F²

    is minimised by SGD with momentum 0.9 from the mean of the τ_i; the result is W_0 + scale · τ_m. B_iᵀB_i = T_iᵀT_i,
    so the solver of WUDI applies. Source: Wei et al., arXiv 2505.19892. An expert that left this layer as it was takes
    no part in it.

    Args:
        base: W_0, shape (out, in), float32 or float64.
        experts: W_1 … W_n, shaped like ``base``.
        options: See :class:`OptMergeOptions`.

    Returns:
        The merged matrix and a log with ``loss_start``, ``loss_end`` and ``form``; the log is empty where at most one
        expert moved.

    Example:
        >>> experts = [torch.tensor([[1.0, 0.0], [0.0, 0.0]]), torch.tensor([[0.0, 0.0], [0.0, 1.0]])]
        >>> optmerge(torch.zeros(2, 2), experts, OptMergeOptions(steps=0))[0]  # the start: their mean
        tensor([[0.5000, 0.0000],
                [0.0000, 0.5000]])
    """
    vectors = moved(task_vectors(base, experts))
    log: dict[str, Any] = {}
    if len(vectors) < 2:
        delta = vectors.sum(0)
    else:
        rank = max(1, min(base.shape) // len(vectors))
        proxies = torch.stack([truncate(vector, rank) for vector in vectors])
        how = Descent(options.steps, options.lr, scale_free=True, start="mean", optimiser="sgd")
        delta, log = descend(vectors, equal_weights, how, proxies)
    return add_to_base(base, delta.mul_(options.scale)), log
