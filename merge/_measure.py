"""What the manifest says about a tensor: norms, cosines, and how much of the change the output's type kept."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from merge._blocks import Block
from merge.plan import Job
from merge.reader import itemsize


class Measure:
    """Inner products of all task vectors, collected block by block in float64.

    NaN, infinity and overflow anywhere in the inputs or the output make them NaN or infinite, so that looking at the
    sums checks every value.
    """

    def __init__(self, job: Job, exact: bool = False) -> None:
        """Measure a tensor; ``exact`` squares in float64, for values whose squares overflow in float32."""
        self._narrow, self._exact = itemsize(job.dtype) < 4, exact
        self._rounded = job.base.dtype != job.dtype
        self._products: Tensor | None = None
        self._kept = 0.0

    def add(self, block: Block) -> None:
        """Add a block that has been merged and stored."""
        vectors = block.vectors.double() if self._exact else block.vectors
        # A block's float32 sums are exact to about six digits, and the total is float64.
        products = torch.mm(vectors, vectors.T).double()
        self._products = products if self._products is None else self._products.add_(products)
        if block.stored is not block.merged:
            kept = block.spare.copy_(block.stored)
            # What rounding does to the base is no change.
            torch.sub(block.base.to(block.stored.dtype) if self._rounded else block.base, kept, out=kept)
            self._kept += torch.dot(kept.to(vectors.dtype), vectors[-1]).item()

    @property
    def is_finite(self) -> bool:
        """Whether all values seen so far are finite; squares of very large ones are not."""
        return math.isfinite(self._kept) and (self._products is None or math.isfinite(self._products.sum().item()))

    def result(self, names: Sequence[str]) -> dict[str, Any]:
        """Norms ‖τ_i‖, ‖τ_m‖ / mean ‖τ_i‖, cosines, and for 16-bit outputs the share of τ_m that rounding kept."""
        if self._products is None:
            return {}
        products: list[list[float]] = self._products.tolist()
        norms = [math.sqrt(row[i]) for i, row in enumerate(products)]

        def cosine(i: int, j: int) -> float:
            return products[i][j] / max(norms[i] * norms[j], 1e-300)

        mean = sum(norms[:-1]) / len(names)
        record: dict[str, Any] = {
            "norms": dict(zip(names, norms, strict=False)),
            "norm_ratio": norms[-1] / mean if mean else None,
            "cosines": {
                f"{names[i]} {names[j]}": cosine(i, j) for i, j in itertools.combinations(range(len(names)), 2)
            },
            "merged_cosines": {name: cosine(-1, i) for i, name in enumerate(names)},
        }
        if self._narrow and norms[-1] > 0:
            record["survived"] = self._kept / norms[-1] ** 2
        return record
