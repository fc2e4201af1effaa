"""Base and experts of one tensor, read block by block into buffers that a core's cache holds."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import torch

from merge._scratch import scratch
from merge.plan import Job
from merge.reader import TORCH_DTYPES, TensorReader


class Block:
    """Buffers for a part of a tensor, filled again for each part of the same size.

    Attributes:
        start: First element of the part.
        base: W_0, flat.
        experts: −τ_i = W_0 − W_i, shape (n, elements).
        change: W_0 − W_m, for what is merged from them.
        vectors: ``experts`` and ``change`` together, shape (n + 1, elements).
        merged: W_m.
        stored: W_m in the output's type.
        spare: For intermediate results.
    """

    def __init__(self, job: Job, count: int, device: str) -> None:
        """Take this thread's buffers for ``count`` elements."""
        dtype, experts = work_dtype(job), len(job.experts)
        rows = scratch("rows", (experts + 2, count), dtype, device)
        self.base, self.experts, self.change = rows[0], rows[1:-1], rows[-1]
        self.vectors = rows[1:]
        self.merged, self.spare = scratch("results", (2, count), dtype, device)
        self.start, self.part = 0, slice(0, count)
        self.stored = scratch("stored", (count,), TORCH_DTYPES[job.dtype], device)
        if self.stored.dtype == dtype:
            self.stored = self.merged
        types = [TORCH_DTYPES[info.dtype] for info in (job.base, *job.experts)]
        if len(set(types)) == 1:
            raw = scratch("raw", (experts + 1, count), types[0])
            self._raw, self._copies = list(raw), [(rows[:-1], raw)]
        else:
            self._raw = [scratch(f"raw {i}", (count,), dtype) for i, dtype in enumerate(types)]
            self._copies = list(zip(rows[:-1], self._raw, strict=True))
        self._bytes = [raw.view(torch.uint8).numpy().data for raw in self._raw]

    def read(self, readers: Sequence[TensorReader], start: int) -> None:
        """Fill ``base`` and ``experts`` with the elements from ``start`` on."""
        self.start, self.part = start, slice(start, start + self.part.stop - self.part.start)
        for reader, view in zip(readers, self._bytes, strict=True):
            reader.read_into(view, start)
        for target, raw in self._copies:
            target.copy_(raw)
        torch.sub(self.base, self.experts, out=self.experts)


def work_dtype(job: Job) -> torch.dtype:
    """Type of the arithmetic."""
    return torch.float64 if job.base.dtype == "F64" else torch.float32


def read_blocks(job: Job, size: int, device: str) -> Iterator[Block]:
    """Read a job's inputs in blocks of ``size`` elements; each lies in the memory of the one before it.

    Values are not checked: see :class:`merge._measure.Measure`.
    """
    numel = job.base.numel
    with contextlib.ExitStack() as stack:
        readers = [stack.enter_context(TensorReader(info)) for info in (job.base, *job.experts)]
        whole, rest = numel - numel % size, numel % size
        if whole:
            block = Block(job, size, device)
            for start in range(0, whole, size):
                block.read(readers, start)
                yield block
        if rest:
            block = Block(job, rest, device)
            block.read(readers, whole)
            yield block
