"""Writes safetensors out of order: the header is known from the plan, so each tensor goes straight to its place."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from merge.reader import itemsize


@dataclass(frozen=True)
class Layout:
    """Bytes of one file before its tensors are known.

    Attributes:
        header: The first bytes of the file.
        offsets: Tensor name to the offset of its first byte in the file.
        size: Length of the file.
    """

    header: bytes
    offsets: dict[str, int]
    size: int


def layout(tensors: Mapping[str, tuple[str, tuple[int, ...]]]) -> Layout:
    """Lay a file out.

    Args:
        tensors: Name to (dtype, shape), the dtype as in the specification, e.g. ``BF16``.

    Returns:
        Where everything goes; wide types first, so that every tensor is aligned.

    Example:
        >>> plan = layout({"w": ("F32", (2, 2))})
        >>> plan.size - len(plan.header)
        16
    """
    entries: dict[str, object] = {"__metadata__": {"format": "pt"}}
    relative: dict[str, int] = {}
    position = 0
    for name in sorted(tensors, key=lambda n: (-itemsize(tensors[n][0]), n)):
        dtype, shape = tensors[name]
        size = itemsize(dtype)
        for length in shape:
            size *= length
        entries[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [position, position + size]}
        relative[name] = position
        position += size
    text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    header = len(text).to_bytes(8, "little") + text
    return Layout(header, {n: len(header) + p for n, p in relative.items()}, len(header) + position)


def create(path: Path, plan: Layout) -> None:
    """Write the header and reserve the file's whole length; a file that has both already keeps its tensors."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        if os.fstat(handle).st_size > plan.size:
            os.ftruncate(handle, plan.size)
        # Reserving now turns a full disk into an error before the work instead of after it.
        os.posix_fallocate(handle, 0, plan.size)
        _write_all(handle, memoryview(plan.header), 0)
    finally:
        os.close(handle)


def write_tensor(path: Path, offset: int, tensor: Tensor) -> memoryview:
    """Write a tensor's elements in row-major order.

    Args:
        path: A file made by :func:`create`.
        offset: Where the first byte goes.
        tensor: On any device.

    Returns:
        The bytes written, for hashing.
    """
    flat = tensor.detach().cpu().contiguous().flatten()
    data = flat.view(torch.uint8).numpy().data if flat.numel() else memoryview(b"")
    handle = os.open(path, os.O_WRONLY)
    try:
        _write_all(handle, data, offset)
    finally:
        os.close(handle)
    return data


def _write_all(handle: int, data: memoryview, offset: int) -> None:
    while data:
        # One call writes at most 2 GiB.
        count = os.pwrite(handle, data[: 1 << 30], offset)
        data, offset = data[count:], offset + count


def hash_range(path: Path, offset: int, size: int) -> str:
    """SHA-256 of ``size`` bytes at ``offset``; of what there is where the file is shorter."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        file.seek(offset)
        while size and (block := file.read(min(size, 1 << 20))):
            digest.update(block)
            size -= len(block)
    return digest.hexdigest()


def sync(path: Path) -> None:
    """Force a file or directory to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
