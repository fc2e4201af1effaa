"""Random dropping with rescaling: what both forms of DARE do first."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor


def drop_and_rescale(vectors: Tensor, drop: float, seed: int) -> Tensor:
    """Set each element to zero with probability ``drop`` and divide the others by 1 − ``drop``, in place.

    Args:
        vectors: τ_i, shape (n, …); each is dropped by draws of its own.
        drop: Probability, 0 ≤ drop < 1.
        seed: Of the draws, made on the CPU so that they are the same on every device.

    Returns:
        ``vectors``, with unchanged expectation.
    """
    for index, vector in enumerate(vectors):
        digest = hashlib.sha256(f"{seed} {index}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "little"))
        keep = torch.rand(vector.shape, generator=generator) >= drop
        vector.mul_(keep.to(vector.device)).div_(1 - drop)
    return vectors
