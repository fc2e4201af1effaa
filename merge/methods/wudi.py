"""WUDI-Merging."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from merge.methods._deltas import add_to_base, moved, task_vectors
from merge.methods._registry import Effort, method
from merge.methods._solver import SolverOptions, descend, descent_effort, equal_weights


@dataclass(frozen=True)
class WudiOptions(SolverOptions):
    """Options of ``wudi``."""


def _effort(shape: Sequence[int], experts: int, options: WudiOptions) -> Effort:
    return descent_effort(shape, experts, options.steps, itemsize=options.dtype.itemsize)


@method("wudi", options=WudiOptions, matrices_only=True, effort=_effort)
def wudi(base: Tensor, experts: Sequence[Tensor], options: WudiOptions) -> tuple[Tensor, dict[str, Any]]:
    """WUDI-Merging: the task vector that interferes least with each expert's own, found by 300 steps of Adam.

    For the weight matrix of a linear layer, with τ_i = W_i − W_0, Adam minimises over τ_m

        Loss = Σ ‖(τ_m − τ_i) τ_iᵀ‖_F² / ‖τ_i‖_F²

    from the sum of the τ_i, and the result is W_0 + scale · τ_m. The steps are few on purpose: the exact minimiser is
    known to be worse. Source: Cheng et al., Whoever started the interference should end it, arXiv 2503.08099, which
    uses an absolute learning rate of 1e-5 (``mode: paper``); the default 0.01·rms(τ) is ours and makes the result
    independent of how far the experts moved. An expert that left this layer as it was takes no part in it.

    Args:
        base: W_0, shape (out, in), float32 or float64.
        experts: W_1 … W_n, shaped like ``base``.
        options: See :class:`WudiOptions`.

    Returns:
        The merged matrix in the dtype of ``base`` and a log with ``loss_start``, ``loss_end`` and ``form``; the log is
        empty where at most one expert moved.

    Example:
        >>> import torch
        >>> first, second = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
        >>> merged, log = wudi(torch.zeros(1, 2), [first, second], WudiOptions())
        >>> torch.allclose(merged, first + second, atol=1e-3)  # without interference the sum is the solution
        True
    """
    work = base.to(options.dtype)
    vectors = moved(task_vectors(work, experts))
    log: dict[str, Any] = {}
    if len(vectors) < 2:
        delta = vectors.sum(0)
    else:
        delta, log = descend(vectors, equal_weights, options.descent())
    return add_to_base(work, delta.mul_(options.scale)).to(base.dtype), log
