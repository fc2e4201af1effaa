"""Average of the experts (model soup)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from lipo.common import option
from merge.methods._deltas import combine_and_add, mean_vector
from merge.methods._registry import method


@dataclass(frozen=True)
class AverageOptions:
    """Options of ``average``."""

    scale: float = option(1.0, help="Factor on the mean task vector; 0 returns the base.")


def _combine(vectors: Tensor, options: AverageOptions) -> Tensor:
    mean = mean_vector(vectors)
    return mean if options.scale == 1 else mean.mul_(options.scale)


@method("average", options=AverageOptions, combine=_combine)
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
    return combine_and_add(base, experts, lambda vectors: _combine(vectors, options)), {}
