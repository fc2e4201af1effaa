"""DARE with task arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from lipo.common import option
from merge.methods._dare import drop_and_rescale
from merge.methods._deltas import combine_and_add, sum_vectors
from merge.methods._registry import method


@dataclass(frozen=True)
class DareLinearOptions:
    """Options of ``dare_linear``."""

    scale: float = option(0.3, help="Factor λ on the sum of the task vectors.")
    drop: float = option(
        0.5, help="p: probability that an element of a task vector is dropped.", minimum=0, maximum=0.999
    )


def _combine(vectors: Tensor, options: DareLinearOptions, seed: int) -> Tensor:
    kept = drop_and_rescale(vectors.clone(), options.drop, seed)
    return sum_vectors(kept).mul_(options.scale)


@method("dare_linear", options=DareLinearOptions, combine=_combine, seeded=True)
def dare_linear(
    base: Tensor, experts: Sequence[Tensor], options: DareLinearOptions, seed: int = 0
) -> tuple[Tensor, dict[str, Any]]:
    """DARE, linear: task arithmetic on task vectors of which a random part is dropped and the rest rescaled.

    W_0 + scale · Σ m_i τ_i / (1 − p), with τ_i = W_i − W_0 and m_i drawn 0 with probability p, else 1.
    Source: Yu et al., Language models are super Mario, arXiv 2311.03099.

    Args:
        base: W_0, any shape, float32 or float64.
        experts: W_1 … W_n, shaped like ``base``.
        options: Scale and drop probability.
        seed: Of the draws.

    Returns:
        The merged tensor and an empty log.

    Example:
        >>> import torch
        >>> ones = torch.ones(2)
        >>> dare_linear(0 * ones, [ones, 3 * ones], DareLinearOptions(scale=0.5, drop=0.0))[0]
        tensor([2., 2.])
    """
    return combine_and_add(base, experts, lambda vectors: _combine(vectors, options, seed)), {}
