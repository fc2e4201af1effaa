"""Task arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from lipo.common import option
from merge.methods._deltas import combine_and_add, sum_vectors
from merge.methods._registry import method


@dataclass(frozen=True)
class TaskArithmeticOptions:
    """Options of ``task_arithmetic``."""

    scale: float = option(0.3, help="Factor λ on the sum of the task vectors.")


def _combine(vectors: Tensor, options: TaskArithmeticOptions) -> Tensor:
    return sum_vectors(vectors).mul_(options.scale)


@method("task_arithmetic", options=TaskArithmeticOptions, combine=_combine)
def task_arithmetic(
    base: Tensor, experts: Sequence[Tensor], options: TaskArithmeticOptions
) -> tuple[Tensor, dict[str, Any]]:
    """Scaled sum of the task vectors: W_0 + scale · Σ τ_i, with τ_i = W_i − W_0.

    Ilharco et al., Editing models with task arithmetic, arXiv 2212.04089.

    Args:
        base: W_0, any shape, float32 or float64.
        experts: W_1 … W_n, shaped like ``base``.
        options: The scale λ; 0.3 is the usual choice for several experts, 1/n is the average.

    Returns:
        The merged tensor and an empty log.

    Example:
        >>> import torch
        >>> ones = torch.ones(2)
        >>> task_arithmetic(0 * ones, [ones, 3 * ones], TaskArithmeticOptions(scale=0.5))[0]
        tensor([2., 2.])
    """
    return combine_and_add(base, experts, lambda vectors: _combine(vectors, options)), {}
