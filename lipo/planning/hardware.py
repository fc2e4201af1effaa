"""GPUs by name, with their makers' figures."""

from __future__ import annotations

from dataclasses import dataclass

from lipo.common import LipoError
from lipo.common.config import nearest


@dataclass(frozen=True)
class Gpu:
    """One kind of GPU.

    Attributes:
        memory: Bytes that a program can have.
        flops: Dense bfloat16 operations per second, as the maker gives them.
        bandwidth: Bytes per second between the GPU and its memory.
    """

    memory: float
    flops: float
    bandwidth: float


# A card of "80 GB" reports 79.1 GiB (A100, H100), one of 24 GB 22 to 23.6 GiB, one of 40 GB 39.4 GiB.
GPUS = {
    "a100-40gb": Gpu(39.4 * 2**30, 312e12, 1.56e12),
    "a100-80gb": Gpu(79.1 * 2**30, 312e12, 2.04e12),
    "h100-80gb": Gpu(79.1 * 2**30, 989e12, 3.35e12),
    "h200-141gb": Gpu(139.8 * 2**30, 989e12, 4.8e12),
    "h20-96gb": Gpu(95.0 * 2**30, 148e12, 4.0e12),
    "rtx4090-24gb": Gpu(23.5 * 2**30, 165e12, 1.01e12),
    "a10-24gb": Gpu(22.1 * 2**30, 125e12, 0.6e12),
    "l40s-48gb": Gpu(44.4 * 2**30, 362e12, 0.86e12),
}


def find_gpu(name: str) -> Gpu:
    """Look a GPU up.

    Raises:
        LipoError: Unknown; names the nearest.
    """
    if name not in GPUS:
        raise LipoError(f"no GPU is called '{name}'", nearest(name, list(GPUS)))
    return GPUS[name]
