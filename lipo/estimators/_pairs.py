"""Finds, for every response, whether a longer one of its group has a similar reward, without comparing all pairs."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from lipo.groups import Groups, pick


def similar_among_all_longer(groups: Groups, lengths: Tensor, scores: Tensor, xi: float) -> Tensor:
    """Whether some strictly longer response of the group has |R_j − R_i| < ξ.

    Sorted by reward, the similar rows form a window, and the longest response of the window decides: O(N log n) time
    for groups of n, O(N) memory.

    Args:
        groups: Rows sorted by group.
        lengths: (N,) in sorted order.
        scores: (N,) in sorted order.
        xi: ξ, above 0.

    Returns:
        (N,) bool in sorted order.
    """
    order = torch.sort(scores, stable=True).indices
    order = pick(order, torch.sort(pick(groups.index, order), stable=True).indices)
    score, length = pick(scores, order), pick(lengths, order)
    # The order changes within groups only, so group boundaries stay where they were.
    start = pick(groups.start, groups.index)
    stop = start + groups.size()
    low = _first_true(lambda k: score - pick(score, k) < xi, start, stop)
    high = _first_true(lambda k: pick(score, k) - score >= xi, start, stop)
    longest = _window_maximum(length, low, high)
    return torch.empty_like(longest, dtype=torch.bool).index_copy_(0, order, longest > length)


def similar_among_next_longer(groups: Groups, lengths: Tensor, scores: Tensor, xi: float) -> Tensor:
    """Whether some response of the group's next greater length has |R_j − R_i| < ξ.

    Args:
        groups: Rows sorted by group, then length, then reward.
        lengths: (N,) in sorted order.
        scores: (N,) in sorted order.
        xi: ξ, above 0.

    Returns:
        (N,) bool in sorted order.
    """
    count = lengths.numel()
    place = torch.arange(count, device=lengths.device)
    # A level is a run of rows of one group and one length; its rows are sorted by reward.
    starts_level = (groups.rank() == 0) | (lengths != lengths.roll(1))
    level = starts_level.cumsum(0)
    end = place.new_tensor([count])
    level_start = torch.cat([place[starts_level], end, end])
    start, stop = pick(level_start, level), pick(level_start, level + 1)
    stop = torch.where(start < pick(groups.start + groups.count, groups.index), stop, start)
    nearest = _first_true(lambda k: scores - pick(scores, k) < xi, start, stop)
    return (nearest < stop) & (pick(scores, nearest.clamp(max=count - 1)) - scores < xi)


def _first_true(test: Callable[[Tensor], Tensor], start: Tensor, stop: Tensor) -> Tensor:
    """Binary search in every row: the first k in [start, stop) that passes a test, false then true along k; or stop."""
    low, high = start, stop
    for _ in range(int((stop - start).max()).bit_length()):
        middle = (low + high) // 2
        unsettled = low < high
        passes = test(middle.clamp(max=start.numel() - 1))
        high = torch.where(unsettled & passes, middle, high)
        low = torch.where(unsettled & ~passes, middle + 1, low)
    return low


def _window_maximum(values: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Largest of values[low:high] in every row, high > low, from overlapping blocks of doubling width."""
    width = high - low
    longest = int(width.max())
    best, block, span = values, values, 1
    while span <= longest:
        fits = (width >= span) & (width < 2 * span)
        best = torch.where(fits, torch.maximum(pick(block, low), pick(block, (high - span).clamp(min=0))), best)
        # block[k] becomes the largest of values[k : k + 2·span].
        block = torch.maximum(block, torch.cat([block[span:], block[-1:].expand(span)])[: block.numel()])
        span *= 2
    return best
