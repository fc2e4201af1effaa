"""DARE with sign election."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from lipo.common import option
from merge.methods._consensus import elect_and_average
from merge.methods._dare import drop_and_rescale
from merge.methods._deltas import combine_and_add
from merge.methods._registry import method


@dataclass(frozen=True)
class DareTiesOptions:
    """Options of ``dare_ties``."""

    scale: float = option(1.0, help="Factor λ on the merged task vector; choose it on validation data.")
    drop: float = option(
        0.5, help="p: probability that an element of a task vector is dropped.", minimum=0, maximum=0.999
    )


def _combine(vectors: Tensor, options: DareTiesOptions, seed: int) -> Tensor:
    kept = drop_and_rescale(vectors.clone(), options.drop, seed)
    return elect_and_average(kept).mul_(options.scale)


@method("dare_ties", options=DareTiesOptions, combine=_combine, seeded=True)
def dare_ties(
    base: Tensor, experts: Sequence[Tensor], options: DareTiesOptions, seed: int = 0
) -> tuple[Tensor, dict[str, Any]]:
    """DARE, TIES: task vectors lose a random part, the rest is rescaled, and signs are elected as in TIES.

    The random choice takes the place of TIES's trimming by magnitude. Sources: Yu et al., Language models are super
    Mario, arXiv 2311.03099; Yadav et al., TIES-Merging, arXiv 2306.01708.

    Args:
        base: W_0, any shape, float32 or float64.
        experts: W_1 … W_n, shaped like ``base``.
        options: Scale and drop probability.
        seed: Of the draws.

    Returns:
        The merged tensor and an empty log.

    Example:
        >>> import torch
        >>> experts = [torch.tensor([4.0, 1.0]), torch.tensor([2.0, -3.0])]
        >>> dare_ties(torch.zeros(2), experts, DareTiesOptions(drop=0.0))[0]
        tensor([ 3., -3.])
    """
    return combine_and_add(base, experts, lambda vectors: _combine(vectors, options, seed)), {}
