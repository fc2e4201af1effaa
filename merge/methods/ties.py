"""TIES-Merging."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lipo.common import option
from merge._scratch import scratch_like
from merge.methods._consensus import elect_and_average
from merge.methods._deltas import combine_and_add
from merge.methods._registry import method
from merge.methods._threshold import kth_largest


@dataclass(frozen=True)
class TiesOptions:
    """Options of ``ties``."""

    scale: float = option(1.0, help="Factor λ on the merged task vector; choose it on validation data.")
    density: float = option(0.2, help="Share of each task vector that is kept, by magnitude.", minimum=1e-9, maximum=1)


def thresholds(blocks: Callable[[], Iterable[Tensor]], options: TiesOptions) -> dict[str, Tensor]:
    """Find the k-th largest magnitude of each task vector, k = max(1, ⌊density · size⌋).

    Args:
        blocks: Gives the task vectors anew each time it is called, in blocks of shape (n, …).
        options: The density.

    Returns:
        The argument of :func:`ties` of this name.
    """
    return {"thresholds": kth_largest(blocks, options.density)}


def _trim(vectors: Tensor, thresholds: Tensor) -> Tensor:
    """Zero instead of what is smaller in magnitude than its vector's threshold."""
    if vectors.dtype != torch.float32:
        return vectors * vectors.float().abs().ge_(thresholds.view(-1, *[1] * (vectors.dim() - 1)))
    # One pass where a mask takes three. Hardshrink keeps |τ| > λ: λ is the float before the threshold.
    limits = torch.nextafter(thresholds, torch.full_like(thresholds, -1)).tolist()
    kept = scratch_like("kept", vectors)
    for vector, limit, out in zip(vectors, limits, kept, strict=True):
        torch.hardshrink(vector, limit, out=out)
    return kept


def _combine(vectors: Tensor, options: TiesOptions, thresholds: Tensor) -> Tensor:
    return elect_and_average(_trim(vectors, thresholds)).mul_(options.scale)


@method("ties", options=TiesOptions, combine=_combine, prepare=thresholds)
def ties(
    base: Tensor, experts: Sequence[Tensor], options: TiesOptions, thresholds: Tensor | None = None
) -> tuple[Tensor, dict[str, Any]]:
    """TIES-Merging: trim small changes, elect a sign for each element, average those that agree.

    Of each τ_i = W_i − W_0 only the share ``density`` of largest magnitude stays (of this tensor); the sign of their
    sum is elected element by element; the merged task vector is the mean of the non-zero values of that sign, and the
    result W_0 + scale · merged. Source: Yadav et al., arXiv 2306.01708. Where the values cancel exactly there is no
    sign, and the base stays.

    Args:
        base: W_0, any shape, float32 or float64.
        experts: W_1 … W_n, shaped like ``base``.
        options: Scale and density.
        thresholds: Smallest magnitude kept per expert, shape (n,), where ``base`` is a part of a larger tensor;
            found from the tensors given by default.

    Returns:
        The merged tensor and an empty log.

    Example:
        >>> base = torch.zeros(4)
        >>> experts = [torch.tensor([4.0, 1.0, 0.1, 0.0]), torch.tensor([2.0, -3.0, 0.0, 0.1])]
        >>> ties(base, experts, TiesOptions(density=0.5))[0]
        tensor([ 3., -3.,  0.,  0.])
    """

    def combine(vectors: Tensor) -> Tensor:
        smallest = _whole_tensor_thresholds(vectors, options) if thresholds is None else thresholds
        return _combine(vectors, options, smallest)

    return combine_and_add(base, experts, combine), {}


def _whole_tensor_thresholds(vectors: Tensor, options: TiesOptions) -> Tensor:
    return thresholds(lambda: [vectors], options)["thresholds"]
