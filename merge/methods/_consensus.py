"""Sign election and disjoint mean: the second half of TIES."""

from __future__ import annotations

import torch
from torch import Tensor


def elect_and_average(vectors: Tensor) -> Tensor:
    """Average, for each element, the task vectors that agree with the sign of their sum.

    Args:
        vectors: τ_i, shape (n, …); zeros have no vote.

    Returns:
        Shape (…); zero where the signs cancel.

    Example:
        >>> elect_and_average(torch.tensor([[3.0, 1.0], [1.0, -1.0], [-2.0, 0.0]]))
        tensor([2., 0.])
    """
    sign = vectors.sum(0).sign_()
    agree = (vectors.sign() == sign) & (sign != 0)
    return torch.where(agree, vectors, 0).sum(0).div_(agree.sum(0).clamp_min_(1))
