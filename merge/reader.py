"""Reads safetensors: headers first, checked as untrusted input, then single tensors or parts of them on demand."""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import torch
from torch import Tensor

from lipo.common import LipoError

# The safetensors specification's names; floats that merging understands come first.
FLOATS = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
OTHERS = {
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
TORCH_DTYPES = FLOATS | OTHERS
# The reference implementation refuses larger headers too; a hostile length must not make us read the whole disk.
MAX_HEADER = 100_000_000
_PICKLE_STARTS = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")


@dataclass(frozen=True)
class Extent:
    """Consecutive bytes of a file."""

    file: Path
    begin: int
    size: int


@dataclass(frozen=True)
class TensorInfo:
    """Where a tensor lies.

    Attributes:
        name: As in the file.
        dtype: As the specification of safetensors names it, e.g. ``BF16``.
        shape: Sizes.
        extents: Its bytes in row-major order: one run in a safetensors file, one per rank in sharded checkpoints.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    extents: tuple[Extent, ...]

    @property
    def file(self) -> Path:
        """The file that holds its first byte."""
        return self.extents[0].file

    @property
    def numel(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def is_float(self) -> bool:
        """Whether merging can do arithmetic on it."""
        return self.dtype in FLOATS


def itemsize(dtype: str) -> int:
    """Bytes of one element."""
    return TORCH_DTYPES[dtype].itemsize


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) < len(pairs):
        raise ValueError("a name occurs twice")
    return dict(pairs)


def read_header(path: Path) -> dict[str, TensorInfo]:
    """Read and check the header of one file.

    Args:
        path: A safetensors file; not trusted.

    Returns:
        Tensor name to place, in the order of the bytes.

    Raises:
        LipoError: Not safetensors (a pickle is named as such and never loaded), cut short, trailing bytes, offsets
            that overlap or leave holes, a dtype that merging does not know, or sizes that contradict the shape.
    """
    length = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(8)
        if head.startswith(_PICKLE_STARTS):
            raise LipoError(
                f"{path} is a pickle, not safetensors, and is not loaded because a pickle can run code",
                "save the model with save_pretrained(…, safe_serialization=True)",
            )
        size = int.from_bytes(head, "little") if len(head) == 8 else 0
        if not 2 <= size <= min(MAX_HEADER, length - 8):
            raise LipoError(f"{path} is not a safetensors file, or cut short", "copy or download it again")
        raw = file.read(size)
    try:
        entries = json.loads(raw, object_pairs_hook=_refuse_duplicates)
        if not isinstance(entries, dict):
            raise ValueError("not a mapping")
        entries.pop("__metadata__", None)
        tensors = [_entry(path, name, entry, 8 + size) for name, entry in entries.items()]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise LipoError(f"{path} has a broken header: {error}", "copy or download it again") from None
    tensors.sort(key=lambda t: (t.extents[0].begin, t.extents[0].size))
    position = 8 + size
    for tensor in tensors:
        (extent,) = tensor.extents
        if extent.begin != position:
            problem = "overlaps the tensor before it" if extent.begin < position else "leaves a hole before it"
            raise LipoError(f"tensor '{tensor.name}' in {path} {problem}", "copy or download the file again")
        position += extent.size
    if position != length:
        raise LipoError(
            f"{path} holds {length} bytes but its header describes {position}"
            + (": the file was cut short" if length < position else ""),
            "copy or download it again",
        )
    return {tensor.name: tensor for tensor in tensors}


def _entry(path: Path, name: str, entry: dict[str, Any], start: int) -> TensorInfo:
    dtype, shape, (begin, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
    if any(type(value) is not int or value < 0 for value in (*shape, begin, end)):
        raise ValueError(f"tensor '{name}' has a size or an offset that is not a natural number")
    if dtype not in TORCH_DTYPES:
        raise ValueError(f"tensor '{name}' has dtype {dtype}; merging knows {', '.join(TORCH_DTYPES)}")
    if end - begin != math.prod(shape) * itemsize(dtype):
        raise ValueError(f"tensor '{name}' of shape {list(shape)} and dtype {dtype} cannot have {end - begin} bytes")
    return TensorInfo(name, dtype, shape, (Extent(path, start + begin, end - begin),))


def read_tensor(info: TensorInfo, start: int = 0, stop: int | None = None) -> Tensor:
    """Read a tensor, or the elements ``start`` to ``stop`` of it.

    Args:
        info: From :func:`read_header`.
        start: First element, in row-major order.
        stop: One past the last element; ``None`` reads to the end.

    Returns:
        The tensor in its own dtype: shaped like the file's when whole, else flat.

    Raises:
        LipoError: The file has become shorter than its header said, or a float is NaN or infinite.
    """
    stop = info.numel if stop is None else stop
    buffer = torch.empty(stop - start, dtype=TORCH_DTYPES[info.dtype])
    with TensorReader(info) as reader:
        reader.read_into(buffer.view(torch.uint8).numpy().data, start)
    shape = info.shape if stop - start == info.numel else (stop - start,)
    tensor = buffer.view(shape)
    if info.is_float and not all_finite(tensor):
        raise LipoError(
            f"tensor '{info.name}' in {info.file} holds NaN or infinite values",
            "repeat the training or the copy that made it",
        )
    return tensor


class TensorReader(contextlib.ExitStack):
    """Reads parts of one tensor from files that stay open until the end of a ``with`` block; checks no values."""

    def __init__(self, info: TensorInfo) -> None:
        """Open nothing yet."""
        super().__init__()
        self._info, self._handles = info, dict[Path, int]()

    def read_into(self, view: memoryview, start: int) -> None:
        """Fill memory with the bytes of the elements from ``start`` on."""
        skip = start * itemsize(self._info.dtype)
        for extent in self._info.extents:
            count = min(max(0, extent.size - skip), len(view))
            if count:
                self._read(view[:count], extent.file, extent.begin + skip)
            view, skip = view[count:], max(0, skip - extent.size)

    def _read(self, view: memoryview, file: Path, offset: int) -> None:
        if file not in self._handles:
            self._handles[file] = os.open(file, os.O_RDONLY)
            self.callback(os.close, self._handles[file])
        while view:
            # One call reads at most 2 GiB.
            count = os.preadv(self._handles[file], [view[: 1 << 30]], offset)
            if count == 0:
                raise LipoError(f"{file} became shorter while it was read", "leave inputs alone during a merge")
            view, offset = view[count:], offset + count


def all_finite(tensor: Tensor) -> bool:
    """Whether no element is NaN or infinite."""
    # One pass for the usual case; a sum that overflows needs the second look.
    total = tensor.sum(dtype=torch.float64 if tensor.dtype == torch.float64 else torch.float32)
    return bool(torch.isfinite(total)) or bool(torch.isfinite(tensor).all())


class LazyTensors(Sequence[Tensor]):
    """Tensors that are read each time they are indexed, so that whoever walks over them holds one at a time."""

    def __init__(
        self,
        infos: Sequence[TensorInfo],
        dtype: torch.dtype,
        device: str = "cpu",
        start: int = 0,
        stop: int | None = None,
    ) -> None:
        """Remember what to read; see :func:`read_tensor`. Values are moved to ``device`` and become ``dtype``."""
        self._infos, self._dtype, self._device, self._start, self._stop = infos, dtype, device, start, stop

    def __len__(self) -> int:
        """Count of tensors."""
        return len(self._infos)

    @overload
    def __getitem__(self, index: int) -> Tensor: ...
    @overload
    def __getitem__(self, index: slice) -> LazyTensors: ...
    def __getitem__(self, index: int | slice) -> Tensor | LazyTensors:
        """Read one tensor, or select several without reading."""
        if isinstance(index, slice):
            return LazyTensors(self._infos[index], self._dtype, self._device, self._start, self._stop)
        return read_tensor(self._infos[index], self._start, self._stop).to(self._device).to(self._dtype)

    def __iter__(self) -> Iterator[Tensor]:
        """Read one after the other."""
        return (self[i] for i in range(len(self)))
