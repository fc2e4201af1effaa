"""Task singular vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lipo.common import option
from merge.methods._deltas import add_to_base, moved, task_vectors
from merge.methods._registry import Effort, method
from merge.methods._spectra import nearest_orthogonal, svd_effort


@dataclass(frozen=True)
class TsvOptions:
    """Options of ``tsv``."""

    scale: float = option(1.0, help="Factor on the merged task vector; choose it on validation data.")


def _effort(shape: Sequence[int], experts: int, options: TsvOptions) -> Effort:
    svd = svd_effort(shape, experts + 2)
    return Effort(svd.flops, svd.memory + 4 * (2 * experts + 4) * shape[0] * shape[1])


@method("tsv", options=TsvOptions, matrices_only=True, effort=_effort)
def tsv(base: Tensor, experts: Sequence[Tensor], options: TsvOptions) -> tuple[Tensor, dict[str, Any]]:
    """TSV-Merge: each expert's leading singular vectors, made orthogonal to the others', then summed.

    For the weight matrix of a linear layer, with τ_i = U_i S_i V_iᵀ cut to the leading ⌊min(out, in) / n⌋ triplets,

        U = [U_1 … U_n],  S = diag(S_1 … S_n),  V = [V_1 … V_n],    merged = W_0 + scale · Û S V̂ᵀ,

    where Û and V̂ are the matrices with orthonormal columns nearest to U and V. Source: Gargiulo et al., Task singular
    vectors, arXiv 2412.00081. An expert that left this layer as it was takes no part in it.

    Args:
        base: W_0, shape (out, in), float32 or float64.
        experts: W_1 … W_n, shaped like ``base``.
        options: The scale.

    Returns:
        The merged matrix and a log with ``rank``, the triplets kept per expert; empty where at most one expert moved.

    Example:
        >>> experts = [torch.tensor([[1.0, 0.0], [0.0, 0.0]]), torch.tensor([[0.0, 0.0], [0.0, 2.0]])]
        >>> tsv(torch.zeros(2, 2), experts, TsvOptions())[0].abs()
        tensor([[1., 0.],
                [0., 2.]])
    """
    vectors = moved(task_vectors(base, experts))
    if len(vectors) < 2:
        return add_to_base(base, vectors.sum(0).mul_(options.scale)), {}
    rank = max(1, min(base.shape) // len(vectors))
    lefts, values, rights = [], [], []
    for vector in vectors:
        left, value, right = torch.linalg.svd(vector, full_matrices=False)
        lefts.append(left[:, :rank])
        values.append(value[:rank])
        rights.append(right[:rank])
    left, right = nearest_orthogonal(torch.cat(lefts, 1)), nearest_orthogonal(torch.cat(rights, 0))
    return add_to_base(base, ((left * torch.cat(values)) @ right).mul_(options.scale)), {"rank": rank}
