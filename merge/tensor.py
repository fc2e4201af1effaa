"""Merges one tensor: read, apply the method, write, measure. Idempotent, and the same bits wherever it runs."""

from __future__ import annotations

import hashlib
import itertools
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lipo.common import LipoError
from merge.methods import Method, get_method, task_vectors
from merge.plan import BLOCK, COPY, Job
from merge.reader import TORCH_DTYPES, LazyTensors, all_finite, itemsize, read_tensor
from merge.writer import write_tensor


def merge_tensor(job: Job, directory: Path, names: Sequence[str], device: str = "cpu") -> dict[str, Any]:
    """Merge one tensor into its place in the output.

    Args:
        job: What to do.
        directory: Where the output files, already created, are.
        names: The experts' names, in the order of ``job.experts``.
        device: Where the method runs, as torch names it; reading, writing and measuring are the CPU's.

    Returns:
        The tensor's record for the manifest: method, SHA-256 of the bytes written, seconds, the method's log, and for
        merged tensors the norms ‖τ_i‖, ‖τ_m‖ / mean ‖τ_i‖ and cosines; for 16-bit outputs also ``survived``.

    Raises:
        LipoError: NaN or infinite inputs, or a result that the output type cannot hold.
    """
    started = time.perf_counter()
    record: dict[str, Any] = {"method": job.method, "shape": list(job.base.shape), "dtype": job.dtype}
    digest = hashlib.sha256()
    if job.method == COPY:
        for start, stop in _blocks(job.base.numel):
            _store(job, directory, start, read_tensor(job.base, start, stop), digest)
    else:
        method = get_method(job.method)
        measure = _Measure(job.dtype)
        steps = _by_block(job, method, device) if method.elementwise else _whole(job, method, device)
        for start, base, experts, merged, log in steps:
            stored = _store(job, directory, start, merged, digest)
            measure.add(base, experts, merged, stored)
            record |= log
        record |= measure.result(names)
    return record | {"sha256": digest.hexdigest(), "seconds": round(time.perf_counter() - started, 4)}


_Step = tuple[int, Tensor, Sequence[Tensor], Tensor, dict[str, Any]]


def _blocks(numel: int) -> Iterator[tuple[int, int]]:
    for start in range(0, numel, BLOCK):
        yield start, min(start + BLOCK, numel)


def _work_dtype(job: Job) -> torch.dtype:
    return torch.float64 if job.base.dtype == "F64" else torch.float32


def _by_block(job: Job, method: Method, device: str) -> Iterator[_Step]:
    prepared = method.prepare(lambda: _vector_blocks(job, device), job.options) if method.prepare else {}
    for start, base, experts in _read_blocks(job, device):
        seed = {"seed": draw_seed(job, start)} if method.seeded else {}
        merged, log = method.function(base, experts, job.options, **prepared, **seed)
        yield start, base, experts, merged, log


def _read_blocks(job: Job, device: str) -> Iterator[tuple[int, Tensor, list[Tensor]]]:
    dtype = _work_dtype(job)
    for start, stop in _blocks(job.base.numel):
        (base,) = LazyTensors((job.base,), dtype, device, start, stop)
        experts = LazyTensors(job.experts, dtype, device, start, stop)
        yield start, base.flatten(), [tensor.flatten() for tensor in experts]


def _vector_blocks(job: Job, device: str) -> Iterator[Tensor]:
    return (task_vectors(base, experts) for _, base, experts in _read_blocks(job, device))


def draw_seed(job: Job, start: int) -> int:
    """Seed of a block's random draws: that of the merge, of the tensor and of the block's first element."""
    digest = hashlib.sha256(f"{job.seed} {job.name} {start}".encode()).digest()
    return int.from_bytes(digest[:8], "little")


def _whole(job: Job, method: Method, device: str) -> Iterator[_Step]:
    dtype = _work_dtype(job)
    (base,) = LazyTensors((job.base,), dtype, device)
    merged, log = method.function(base, LazyTensors(job.experts, dtype, device), job.options)
    base, merged = base.flatten(), merged.flatten()
    for start, stop in _blocks(job.base.numel):
        # Read again, block by block, only to measure: keeping all experts would double the memory.
        experts = [tensor.flatten() for tensor in LazyTensors(job.experts, dtype, device, start, stop)]
        yield start, base[start:stop], experts, merged[start:stop], log


def _store(job: Job, directory: Path, start: int, values: Tensor, digest: Any) -> Tensor:
    stored = values.to(TORCH_DTYPES[job.dtype])
    if stored.is_floating_point() and not all_finite(stored):
        raise LipoError(
            f"tensor '{job.name}' merged with {job.method} does not fit {job.dtype}",
            "use a wider dtype or a smaller scale",
        )
    digest.update(write_tensor(directory / job.file, job.offset + start * itemsize(job.dtype), stored))
    return stored


_PIECE = 1 << 16


class _Measure:
    """Inner products of all task vectors, collected block by block in float64."""

    def __init__(self, dtype: str) -> None:
        self.narrow = TORCH_DTYPES[dtype] if itemsize(dtype) < 4 else None
        self.products: Tensor | None = None
        self.kept = 0.0

    def add(self, base: Tensor, experts: Sequence[Tensor], merged: Tensor, stored: Tensor) -> None:
        count = len(experts) + 1
        total = torch.zeros(count, count, dtype=torch.float64, device=base.device)
        # Pieces that fit the cache; their float32 sums are exact to about six digits, and the total is float64.
        for start in range(0, base.numel(), _PIECE):
            part = slice(start, start + _PIECE)
            vectors = torch.stack([*(expert[part] for expert in experts), merged[part]]).sub_(base[part])
            total += vectors @ vectors.T
            if self.narrow is not None:
                change = stored[part].to(base.dtype) - base[part].to(self.narrow).to(base.dtype)
                self.kept += float(change @ vectors[-1])
        self.products = total if self.products is None else self.products + total

    def result(self, names: Sequence[str]) -> dict[str, Any]:
        if self.products is None:
            return {}
        products = self.products.cpu()
        norms = products.diagonal().sqrt()
        cosines = products / (norms[:, None] * norms[None, :]).clamp_min(1e-300)
        mean = float(norms[:-1].mean())
        record: dict[str, Any] = {
            "norms": {name: float(norms[i]) for i, name in enumerate(names)},
            "norm_ratio": float(norms[-1]) / mean if mean else None,
            "cosines": {
                f"{names[i]} {names[j]}": float(cosines[i, j]) for i, j in itertools.combinations(range(len(names)), 2)
            },
            "merged_cosines": {name: float(cosines[-1, i]) for i, name in enumerate(names)},
        }
        if self.narrow is not None and norms[-1] > 0:
            record["survived"] = self.kept / float(norms[-1]) ** 2
        return record
