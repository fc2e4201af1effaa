"""Sign election and disjoint mean: the second half of TIES."""

from __future__ import annotations

import torch
from torch import Tensor

from merge._scratch import scratch_like
from merge.methods._deltas import sum_vectors


def elect_and_average(vectors: Tensor) -> Tensor:
    """Average, for each element, the task vectors that agree with the sign of their sum.

    Args:
        vectors: τ_i, shape (n, …); zeros have no vote.

    Returns:
        Shape (…); zero where the signs cancel.

    Example:
        >>> import torch
        >>> elect_and_average(torch.tensor([[3.0, 1.0], [1.0, -1.0], [-2.0, 0.0]]))
        tensor([2., 0.])
    """
    sign = sum_vectors(vectors).sign_()
    # The values that agree, without their sign, else 0; several times faster than comparisons and selections.
    agree = torch.mul(vectors, sign, out=scratch_like("agree", vectors)).clamp_min_(0)
    total = sum_vectors(agree).mul_(sign)
    return total.div_(sum_vectors(agree.sign_()).clamp_min_(1))
