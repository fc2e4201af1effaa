"""Merges one tensor: read, apply the method, write, measure. Idempotent, and the same bits wherever it runs."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lipo.common import LipoError
from merge._blocks import Block, read_blocks, work_dtype
from merge._measure import Measure
from merge.methods import Method, get_method
from merge.methods._deltas import subtract
from merge.plan import BLOCK, COPY, Job
from merge.reader import TORCH_DTYPES, LazyTensors, all_finite, read_tensor
from merge.writer import TensorWriter


def merge_tensor(job: Job, directory: Path, names: Sequence[str], device: str = "cpu") -> dict[str, Any]:
    """Merge one tensor into its place in the output.

    Args:
        job: What to do.
        directory: Where the output files, already created, are.
        names: The experts' names, in the order of ``job.experts``.
        device: Where the method runs, as torch names it; reading and writing are the CPU's.

    Returns:
        The tensor's record for the manifest: method, SHA-256 of the bytes written, seconds, the method's log, and for
        merged tensors the norms ‖τ_i‖, ‖τ_m‖ / mean ‖τ_i‖ and cosines; for 16-bit outputs also ``survived``.

    Raises:
        LipoError: NaN or infinite inputs, or a result that the output type cannot hold.
    """
    started = time.perf_counter()
    record: dict[str, Any] = {"method": job.method, "shape": list(job.base.shape), "dtype": job.dtype}
    if job.method == COPY:
        record["sha256"] = _copy(job, directory)
    else:
        method = get_method(job.method)
        fill, log = _by_block(job, method, device) if method.combine else _whole(job, method, device)
        measure, digest = _stream(job, directory, fill, device)
        if not measure.is_finite:
            _find_fault(job)
            measure, digest = _stream(job, directory, fill, device, exact=True)
        record |= log | measure.result(names) | {"sha256": digest}
    return record | {"seconds": round(time.perf_counter() - started, 4)}


def _copy(job: Job, directory: Path) -> str:
    with TensorWriter(directory / job.file, job.offset) as writer:
        for start in range(0, job.base.numel, BLOCK):
            stored = read_tensor(job.base, start, min(start + BLOCK, job.base.numel)).to(TORCH_DTYPES[job.dtype])
            _check_fit(job, stored)
            writer.write(stored)
        return writer.sha256


# Fills ``merged`` of a block.
_Fill = Callable[[Block], None]


def _by_block(job: Job, method: Method, device: str) -> tuple[_Fill, dict[str, Any]]:
    assert method.combine  # noqa: S101 - for mypy
    combine, options = method.combine, job.options
    prepared = method.prepare(lambda: _vectors(job, device), options) if method.prepare else {}

    def fill(block: Block) -> None:
        seed = {"seed": draw_seed(job, block.start)} if method.seeded else {}
        subtract(block.base, combine(block.experts, options, **prepared, **seed), out=block.merged)

    return fill, {}


def _vectors(job: Job, device: str) -> Iterator[Tensor]:
    return (block.experts for block in read_blocks(job, BLOCK, device))


def draw_seed(job: Job, start: int) -> int:
    """Seed of a block's random draws: that of the merge, of the tensor and of the block's first element."""
    digest = hashlib.sha256(f"{job.seed} {job.name} {start}".encode()).digest()
    return int.from_bytes(digest[:8], "little")


def _whole(job: Job, method: Method, device: str) -> tuple[_Fill, dict[str, Any]]:
    dtype = work_dtype(job)
    (base,) = LazyTensors((job.base,), dtype, device)
    result, log = method.function(base, LazyTensors(job.experts, dtype, device), job.options)
    result = result.flatten()

    def fill(block: Block) -> None:
        block.merged.copy_(result[block.part])

    return fill, log


def _stream(job: Job, directory: Path, fill: _Fill, device: str, exact: bool = False) -> tuple[Measure, str]:
    """Merge, write and measure block by block; return the measures and the hash of what was written.

    Matrix methods read experts again here, only to measure: keeping all of them would double the memory.
    """
    measure = Measure(job, exact)
    with TensorWriter(directory / job.file, job.offset) as writer:
        for block in read_blocks(job, BLOCK, device):
            fill(block)
            torch.sub(block.base, block.merged, out=block.change)
            block.stored.copy_(block.merged)
            if exact:
                _check_fit(job, block.stored)
            measure.add(block)
            writer.write(block.stored)
        return measure, writer.sha256


def _find_fault(job: Job) -> None:
    """Raise for the input that holds NaN or infinity, if it is one of them."""
    for info in (job.base, *job.experts):
        for start in range(0, info.numel, BLOCK):
            read_tensor(info, start, min(start + BLOCK, info.numel))


def _check_fit(job: Job, stored: Tensor) -> None:
    if stored.is_floating_point() and not all_finite(stored):
        raise LipoError(
            f"tensor '{job.name}' merged with {job.method} does not fit {job.dtype}",
            "use a wider dtype or a smaller scale",
        )
