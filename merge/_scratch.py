"""Memory that a thread uses again for every block: fresh memory costs more than most passes over it."""

from __future__ import annotations

import math
import threading

import torch
from torch import Tensor


class _Buffers(threading.local):
    def __init__(self) -> None:
        self.flat: dict[tuple[str, torch.dtype, str], Tensor] = {}


_BUFFERS = _Buffers()


def scratch_like(name: str, like: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """Return a buffer for a tensor of that shape, place and, unless another is given, type."""
    return scratch(name, tuple(like.shape), dtype or like.dtype, str(like.device))


def scratch(name: str, shape: tuple[int, ...], dtype: torch.dtype, device: str = "cpu") -> Tensor:
    """Return this thread's buffer of a name, contiguous, with whatever was in it; it grows to the largest asked for."""
    size, key = math.prod(shape), (name, dtype, device)
    found = _BUFFERS.flat.get(key)
    if found is None or found.numel() < size:
        found = _BUFFERS.flat[key] = torch.empty(size, dtype=dtype, device=device)
    return found[:size].view(shape)
