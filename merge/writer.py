"""Writes safetensors out of order: the header is known from the plan, so each tensor goes straight to its place."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

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


class TensorWriter:
    """Writes one tensor into a file made by :func:`create`, one part after the other, and hashes it."""

    def __init__(self, path: Path, offset: int) -> None:
        """Open the file; ``offset`` is where the tensor's first byte goes."""
        self._handle, self._offset = os.open(path, os.O_WRONLY), offset
        self._digest = hashlib.sha256()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._handle)

    def write(self, part: Tensor) -> None:
        """Write the next elements, in row-major order, from any device."""
        flat = part.detach().cpu().contiguous().flatten()
        if flat.numel():
            data = flat.view(torch.uint8).numpy().data
            _write_all(self._handle, data, self._offset)
            self._digest.update(data)
            self._offset += len(data)

    @property
    def sha256(self) -> str:
        """Hash of what has been written."""
        return self._digest.hexdigest()


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
