"""Isotropic merging in the common subspace."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lipo.common import option
from merge.methods._deltas import add_to_base, moved, task_vectors
from merge.methods._registry import Effort, method
from merge.methods._spectra import numerical_rank, svd_effort


@dataclass(frozen=True)
class IsoCOptions:
    """Options of ``iso_c``."""

    scale: float = option(1.0, help="Factor on the merged task vector; choose it on validation data.")


def _effort(shape: Sequence[int], experts: int, options: IsoCOptions) -> Effort:
    svd = svd_effort(shape, 1)
    return Effort(svd.flops, svd.memory + 4 * (experts + 3) * shape[0] * shape[1])


@method("iso_c", options=IsoCOptions, matrices_only=True, effort=_effort)
def iso_c(base: Tensor, experts: Sequence[Tensor], options: IsoCOptions) -> tuple[Tensor, dict[str, Any]]:
    """Iso-C: the sum of the task vectors with all singular values made equal.

    For the weight matrix of a linear layer, with Σ τ_i = U S Vᵀ, the result is W_0 + scale · mean(S) · U Vᵀ.
    Source: Marczak et al., No task left behind, arXiv 2502.04959. Directions whose singular value is rounding noise
    stay out of U Vᵀ, but count in the mean.

    Args:
        base: W_0, shape (out, in), float32 or float64.
        experts: W_1 … W_n, shaped like ``base``.
        options: The scale.

    Returns:
        The merged matrix and a log with ``singular_value``, the mean; empty where no expert moved.

    Example:
        >>> experts = [torch.tensor([[1.0, 0.0], [0.0, 0.0]]), torch.tensor([[0.0, 0.0], [0.0, 3.0]])]
        >>> iso_c(torch.zeros(2, 2), experts, IsoCOptions())[0].abs()
        tensor([[2., 0.],
                [0., 2.]])
    """
    vectors = moved(task_vectors(base, experts))
    total = vectors.sum(0)
    if not total.any():
        return base.clone(), {}
    left, values, right = torch.linalg.svd(total, full_matrices=False)
    rank, mean = numerical_rank(values, max(total.shape)), values.mean()
    delta = (left[:, :rank] @ right[:rank]).mul_(mean * options.scale)
    return add_to_base(base, delta), {"singular_value": float(mean)}
