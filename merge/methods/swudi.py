"""Spectral WUDI."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from lipo.common import option
from merge.methods._deltas import add_to_base, mean_vector, moved, task_vectors
from merge.methods._registry import Effort, method


@dataclass(frozen=True)
class SwudiOptions:
    """Options of ``swudi``."""

    scale: float = option(1.0, help="Factor on the merged task vector; choose it on validation data.")
    time: float = option(300.0, help="t of the filter 1 − exp(−λ t): how long the descent would have run.", minimum=0)
    rank: float = option(
        0.85,
        help="Share of the layer's input directions that is merged, those with the largest λ.",
        minimum=0,
        maximum=1,
    )
    init: Literal["sum", "mean"] = option("sum", help="Where the merged task vector starts: sum or mean of the τ_i.")


def _effort(shape: Sequence[int], experts: int, options: SwudiOptions) -> Effort:
    rows, columns = shape
    side = min(columns, experts * rows)
    flops = 2.0 * experts * rows * columns * side + 50.0 * side**3 + 8.0 * rows * columns * side
    return Effort(flops, 4 * ((2 * experts + 6) * rows * columns + 4 * side * side))


@method("swudi", options=SwudiOptions, matrices_only=True, effort=_effort)
def swudi(base: Tensor, experts: Sequence[Tensor], options: SwudiOptions) -> tuple[Tensor, dict[str, Any]]:
    """SWUDI: WUDI in closed form, with a spectral filter in place of early stopping.

    For the weight matrix of a linear layer, with τ_i = W_i − W_0, G = Σ τ_iᵀτ_i / ‖τ_i‖² = Σ λ_k v_k v_kᵀ and
    D = Σ τ_i τ_iᵀτ_i / ‖τ_i‖², the start T_0 moves toward the minimiser D G⁺ in each of the leading directions:

        τ_m = T_0 + Σ_k (1 − exp(−λ_k t)) (D v_k / λ_k − T_0 v_k) v_kᵀ,     k among the ⌈rank · in⌉ largest λ,

    and the result is W_0 + scale · τ_m. Source: Wei et al., Closed-form spectral regularization for multi-task model
    merging, arXiv 2606.07289, whose settings for whole language and vision-language models are the defaults. It is a
    method of its own, not a faster equal of WUDI's Adam. An expert that left this layer as it was takes no part in it.

    Args:
        base: W_0, shape (out, in), float32 or float64.
        experts: W_1 … W_n, shaped like ``base``.
        options: See :class:`SwudiOptions`.

    Returns:
        The merged matrix and a log with ``directions``, how many moved; empty where at most one expert moved.

    Example:
        >>> experts = [torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])]
        >>> swudi(torch.zeros(1, 2), experts, SwudiOptions())[0]  # no interference: the sum stays
        tensor([[1., 1.]])
    """
    vectors = moved(task_vectors(base, experts))
    if len(vectors) < 2:
        return add_to_base(base, vectors.sum(0).mul_(options.scale)), {}
    count, rows, columns = vectors.shape
    mean = mean_vector(vectors)
    start = mean * count if options.init == "sum" else mean
    norms = torch.linalg.vector_norm(vectors, dim=(1, 2))
    units = vectors / norms.view(-1, 1, 1)
    values, directions = _leading(units.view(count * rows, columns), math.ceil(options.rank * columns))
    # Columns of D v_k / λ_k − T_0 v_k, from τ_i − T_0: fewer digits cancel than in D − T_0 G.
    pull = torch.zeros(rows, directions.shape[1], dtype=base.dtype, device=base.device)
    for vector, unit in zip(vectors, units, strict=True):
        pull += (vector - start) @ unit.T @ (unit @ directions)
    step = pull * (-torch.expm1(-values * options.time) / values)
    delta = (start + step @ directions.T).mul_(options.scale)
    return add_to_base(base, delta), {"directions": len(values)}


def _leading(stacked: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Largest eigenvalues of AᵀA above rounding noise and their eigenvectors, shapes (k,) and (in, k), k ≤ count."""
    rows, columns = stacked.shape
    wide = rows < columns
    values, vectors = torch.linalg.eigh(stacked @ stacked.T if wide else stacked.T @ stacked)
    keep = max(0, len(values) - count)
    # Filtered directions with λ near zero do not move anyway: λ t is then far below one.
    keep += int((values[keep:] <= 1e-8).sum())
    values, vectors = values[keep:], vectors[:, keep:]
    return values, (stacked.T @ vectors) / values.sqrt() if wide else vectors
