"""Average of the experts (model soup)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from lipo.common import option
from merge.methods._deltas import add_to_base, mean_vector, task_vectors
from merge.methods._registry import method


@dataclass(frozen=True)
class AverageOptions:
    """Options of ``average``."""

    scale: float = option(1.0, help="Factor on the mean task vector; 0 returns the base.")


@method("average", options=AverageOptions, elementwise=True)
def average(base: Tensor, experts: Sequence[Tensor], options: AverageOptions) -> tuple[Tensor, dict[str, Any]]:
    """Mean of the experts: W_0 + scale · (1/n) Σ τ_i, with τ_i = W_i − W_0.

    Wortsman et al., Model soups, arXiv 2203.05482. Also what the matrix methods use for parameters that are not the
    weight of a linear layer.

    Args:
        base: W_0, any shape, float32 or float64.
        experts: W_1 … W_n, shaped like ``base``.
        options: The scale.

    Returns:
        The merged tensor and an empty log.

    Example:
        >>> import torch
        >>> average(torch.zeros(2), [torch.tensor([1.0, 2.0]), torch.tensor([3.0, 0.0])], AverageOptions())[0]
        tensor([2., 1.])
    """
    return add_to_base(base, mean_vector(task_vectors(base, experts)).mul_(options.scale)), {}
