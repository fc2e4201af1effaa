"""Singular values and eigenvalues of layers, taken on the cheaper side."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from merge.methods._registry import Effort


def truncate(matrix: Tensor, rank: int) -> Tensor:
    """Return the best approximation of a given rank: U_r S_r V_rᵀ."""
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    return (left[:, :rank] * values[:rank]) @ right[:rank]


def nearest_orthogonal(matrix: Tensor) -> Tensor:
    """Solve the orthogonal Procrustes problem: U Vᵀ of the singular value decomposition, over the numerical rank.

    Directions whose singular value is rounding noise are left out: their sign and angle mean nothing.
    """
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    rank = numerical_rank(values, max(matrix.shape))
    return left[:, :rank] @ right[:rank]


def numerical_rank(values: Tensor, size: int) -> int:
    """Count the singular values above rounding noise, for a matrix whose longer side is ``size``."""
    return int((values > values.max() * size * torch.finfo(values.dtype).eps).sum())


def svd_effort(shape: Sequence[int], count: int) -> Effort:
    """Cost of ``count`` thin decompositions, one after the other."""
    rows, columns = shape
    short = min(rows, columns)
    # About 20 operations per entry and short side with both sets of vectors, at a fifth of a matrix product's speed.
    return Effort(count * 100.0 * rows * columns * short, 4 * (4 * rows * columns + 4 * short * short))
