"""Splits task vectors into what all experts have in common and what is specific to each."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from merge.methods._deltas import mean_vector


def split_shared(vectors: Tensor) -> tuple[Tensor, dict[str, Any]]:
    """Subtract from each task vector, in place, an estimate of their common component, and return that component.

    Model: τ_i = c + s_i with s_i uncorrelated between experts. In each direction v_k of the layer's shorter side
    (eigenvectors of Σ τ_iᵀτ_i, which rank directions by energy, not by agreement, and so do not favour chance
    agreement), the best linear estimate of c from the mean is κ_k times the mean, with

        κ_k = q_k / m_k,    m_k = ‖τ̄ v_k‖²,    q_k = mean over i ≠ j of ⟨τ_i v_k, τ_j v_k⟩    (κ_k kept within 0 … 1)

    κ is 1 for identical experts, 0 for orthogonal ones: between average and sum. This rule is our own.

    Args:
        vectors: τ_i, shape (n, out, in), n ≥ 2; becomes the remainders τ_i − c.

    Returns:
        c, shape (out, in), and a log with ``shared``: ‖c‖² / mean ‖τ_i‖².
    """
    count, rows, columns = vectors.shape
    energy = vectors.square().sum() / count
    left = rows < columns
    work = vectors.mT if left else vectors
    mean = mean_vector(work)
    _, directions = torch.linalg.eigh(sum((t.T @ t for t in work), torch.zeros_like(mean[:1].T @ mean[:1])))
    mean_energy = (mean @ directions).square_().sum(0)
    total = sum(((t @ directions).square_().sum(0) for t in work), torch.zeros_like(mean_energy))
    agreement = (count**2 * mean_energy - total) / (count * (count - 1))
    share = (agreement / mean_energy.clamp_min(torch.finfo(mean.dtype).tiny)).clamp_(0, 1)
    common = mean @ (directions * share) @ directions.T
    common = (common.T if left else common).contiguous()
    vectors.sub_(common)
    return common, {"shared": float(common.square().sum() / energy)}
