"""Group statistics on flat tensors: what a group-relative advantage is made of.

Rows of one prompt form a group. Groups may differ in size and lie anywhere in the batch. Nothing here loops over
groups in Python or builds a group × group matrix.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor


def group_ids(labels: Any, device: torch.device | str | None = None) -> Tensor:
    """Number arbitrary group labels.

    Args:
        labels: (N,) hashable labels: a numpy array (object arrays of uids too), a sequence or a tensor.
        device: Where the result goes; default: the labels' own device, else the CPU.

    Returns:
        (N,) int64, one number from 0 to G − 1 per label.

    Example:
        >>> group_ids(["b", "a", "b"]).tolist()
        [0, 1, 0]
    """
    if isinstance(labels, np.ndarray) and labels.dtype.kind in "iu":
        labels = torch.from_numpy(labels.astype(np.int64, copy=False))
    if isinstance(labels, Tensor):
        ids = torch.unique(labels.reshape(-1), return_inverse=True)[1]
    else:
        # A dictionary takes labels of any kind and is several times faster than sorting strings.
        numbers: dict[Any, int] = {}
        items: Sequence[Any] = labels.reshape(-1).tolist() if isinstance(labels, np.ndarray) else labels
        ids = torch.tensor([numbers.setdefault(item, len(numbers)) for item in items], dtype=torch.int64)
    return ids if device is None else ids.to(device)


def pick(values: Tensor, places: Tensor) -> Tensor:
    """Take ``values[places]`` of a one-dimensional tensor, without the threads that plain indexing starts on a CPU."""
    return values.index_select(0, places)


class Groups:
    """Rows sorted by group, and the statistics of each group.

    Within a group the rows are sorted by the given keys, so every result is the same, to the last bit, whatever order
    the rows had in the batch. All methods take tensors in sorted order (see :meth:`sort`) and give every row the value
    of its group, so a formula reads as in a paper: ``scores - groups.mean(scores)``.

    Args:
        ids: (N,) integers, equal within a group.
        keys: (N,) tensors that order the rows within a group, most significant first.

    Attributes:
        order: (N,) place in the batch of each sorted row.
        index: (N,) group of each sorted row, numbered from 0 in sorted order.
        start: (G,) first sorted row of each group.
        count: (G,) rows of each group.

    Example:
        >>> groups = Groups(torch.tensor([0, 1, 0]), torch.tensor([30, 5, 10]))
        >>> groups.order.tolist()
        [2, 0, 1]
        >>> groups.restore(groups.mean(groups.sort(torch.tensor([3.0, 7.0, 1.0])))).tolist()
        [2.0, 7.0, 2.0]
    """

    def __init__(self, ids: Tensor, *keys: Tensor) -> None:
        order = torch.arange(ids.numel(), device=ids.device)
        for key in (*reversed(keys), ids):
            order = pick(order, torch.sort(pick(key, order), stable=True).indices)
        self.order = order
        starts = torch.cat([ids.new_zeros(1), pick(ids, order).diff().ne(0).to(ids.dtype)])[: ids.numel()]
        self.index = starts.cumsum(0)
        self.count = torch.bincount(self.index)
        self.start = self.count.cumsum(0) - self.count

    def sort(self, values: Tensor) -> Tensor:
        """Bring (N,) values from batch order into sorted order."""
        return pick(values, self.order)

    def restore(self, values: Tensor) -> Tensor:
        """Bring (N,) values from sorted order back into batch order."""
        return torch.empty_like(values).index_copy_(0, self.order, values)

    def size(self) -> Tensor:
        """Rows in each row's group, (N,) int64."""
        return pick(self.count, self.index)

    def rank(self) -> Tensor:
        """Place of each row within its group, from 0, (N,) int64."""
        return torch.arange(self.index.numel(), device=self.index.device) - pick(self.start, self.index)

    def sum(self, values: Tensor) -> Tensor:
        """Sum over the group; of a bool tensor: how many are true."""
        return self._reduce(values, "sum")

    def min(self, values: Tensor, where: Tensor | None = None) -> Tensor:
        """Smallest of the group, or of its rows marked in ``where`` (+∞ if there are none)."""
        return self._reduce(values if where is None else values.masked_fill(~where, torch.inf), "min")

    def max(self, values: Tensor, where: Tensor | None = None) -> Tensor:
        """Largest of the group, or of its rows marked in ``where`` (−∞ if there are none)."""
        return self._reduce(values if where is None else values.masked_fill(~where, -torch.inf), "max")

    def mean(self, values: Tensor, weights: Tensor | None = None) -> Tensor:
        """Mean of the group, Σ w x / Σ w; exact where all its values are equal, 0 where its weights sum to 0.

        Args:
            values: (N,) floats.
            weights: (N,) non-negative weights, or a bool mask; default 1.
        """
        # Measured from the smallest value, a group of equal values has no rounding error to be blown up by 1/σ.
        if weights is None:
            base = self.min(values)
            return base + self.sum(values - base) / self.size()
        base = self.min(values, where=weights > 0)
        total = self.sum(weights)
        mean = base + self.sum(weights * (values - base)) / total
        return torch.where(total > 0, mean, 0.0)

    def std(self, values: Tensor, weights: Tensor | None = None, *, unbiased: bool = False) -> Tensor:
        """Standard deviation of the group, √(Σ w (x − mean)² / Σ w).

        Args:
            values: (N,) floats.
            weights: As in :meth:`mean`.
            unbiased: Divide by Σ w − 1, as ``torch.std`` does (only for weights that count rows); a lone row has 0.
        """
        weights = torch.ones_like(values) if weights is None else weights.to(values.dtype)
        square = self.sum(weights * (values - self.mean(values, weights)) ** 2)
        total = self.sum(weights) - (1 if unbiased else 0)
        return torch.where(total > 0, square / total, 0.0).sqrt()

    def median(self, values: Tensor) -> Tensor:
        """Median of the group; of an even number of rows, the mean of the two in the middle.

        Args:
            values: (N,) floats that do not decrease within a group, such as the first sorting key.
        """
        lower = pick(values, self.start + (self.count - 1) // 2)
        upper = pick(values, self.start + self.count // 2)
        return pick((lower + upper) / 2, self.index)

    def per_group(self, values: Tensor) -> Tensor:
        """One value per group, (G,), of (N,) values that are the same throughout a group."""
        return pick(values, self.start)

    def _reduce(self, values: Tensor, how: str) -> Tensor:
        if not values.is_floating_point():
            values = values.to(torch.float64)
        return pick(torch.segment_reduce(values, how, lengths=self.count, unsafe=True), self.index)
