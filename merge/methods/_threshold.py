"""The k-th largest magnitude of vectors that come in blocks, exactly, in memory that does not grow with them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from merge._scratch import scratch_like

# Values that are collected before they are counted.
_PENDING = 1 << 16


def kth_largest(blocks: Callable[[], Iterable[Tensor]], share: float) -> Tensor:
    """Find the k-th largest magnitude of each vector, k = max(1, ⌊share · size⌋).

    The order of non-negative floats is that of their bits, so counting the upper 16 bits finds the bucket in one pass,
    and counting the lower 16 bits of the few values within it the value in a second one.

    Args:
        blocks: Gives the vectors anew each time it is called, in blocks of shape (n, …).
        share: Between 0 and 1.

    Returns:
        Shape (n,), float32.

    Example:
        >>> kth_largest(lambda: [torch.tensor([[4.0, -3.0]]), torch.tensor([[1.0, 0.5]])], 0.5)
        tensor([3.])
    """
    counters, magnitudes, parts, size = list[_Counter](), torch.empty(0, 0), 0, 0
    for block in blocks():
        magnitudes = _magnitudes(block)
        counters = counters or [_Counter() for _ in magnitudes]
        for counter, bits in zip(counters, magnitudes.view(torch.int32), strict=True):
            counter.add(_upper(bits))
        parts, size = parts + 1, size + magnitudes.shape[1]
    rank = max(1, int(share * size))
    if parts == 1:
        return magnitudes.kthvalue(size + 1 - rank, dim=1).values
    found = [counter.find(rank) for counter in counters]
    counters = [_Counter() for _ in found]
    for block in blocks():
        for bits, counter, (bucket, _) in zip(_magnitudes(block).view(torch.int32), counters, found, strict=True):
            counter.collect(_select(bits, _upper(bits).eq_(bucket)))
    bits = [
        bucket << 16 | counter.find(rank - above)[0] for counter, (bucket, above) in zip(counters, found, strict=True)
    ]
    return torch.tensor(bits, dtype=torch.int32, device=magnitudes.device).view(torch.float32)


def _magnitudes(block: Tensor) -> Tensor:
    flat = block.flatten(1)
    return scratch_like("magnitudes", flat, torch.float32).copy_(flat).abs_()


def _upper(bits: Tensor) -> Tensor:
    return torch.bitwise_right_shift(bits, 16, out=scratch_like("upper", bits))


def _select(values: Tensor, chosen: Tensor) -> Tensor:
    if values.is_cuda:
        return values[chosen.bool()]
    # On cores numpy takes a third of torch's time.
    return torch.from_numpy(values.numpy()[chosen.bool().numpy()])


class _Counter:
    """How often each 16-bit number occurs."""

    def __init__(self) -> None:
        self._counts = torch.zeros(0, dtype=torch.int64)
        self._pending: list[Tensor] = []
        self._waiting = 0

    def add(self, numbers: Tensor) -> None:
        # On a GPU the vectors are there, the few counts here.
        more = torch.bincount(numbers).cpu()
        if more.numel() > self._counts.numel():
            more, self._counts = self._counts, more
        self._counts[: more.numel()] += more

    def collect(self, bits: Tensor) -> None:
        """Add the lower halves of a few numbers, later, many at once."""
        self._pending.append(bits & 0xFFFF)
        self._waiting += bits.numel()
        if self._waiting > _PENDING:
            self._count_pending()

    def _count_pending(self) -> None:
        self.add(torch.cat(self._pending))
        self._pending, self._waiting = [], 0

    def find(self, rank: int) -> tuple[int, int]:
        """Return the ``rank``-th largest number, and how many numbers are larger."""
        if self._pending:
            self._count_pending()
        from_top = self._counts.flip(0).cumsum(0)
        position = int(torch.searchsorted(from_top, rank))
        return len(from_top) - 1 - position, int(from_top[position] - self._counts[len(from_top) - 1 - position])
