"""Starts a merge; loads torch only when the work needs it."""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from merge._early import hash_early
from merge.config import MergeConfig


@dataclass(frozen=True)
class Progress:
    """How far a merge is.

    Attributes:
        done: Tensors finished, those of an interrupted run included.
        total: Tensors in all.
        fraction: Share of the whole work, 0 to 1; tensors differ in cost by orders of magnitude.
        step: What was finished last.
    """

    done: int
    total: int
    fraction: float
    step: str


def run(config: MergeConfig, on_progress: Callable[[Progress], None] | None = None) -> Path:
    """Merge models.

    The output appears under ``config.out`` only when complete. A merge that was interrupted or killed continues when
    it is run again with the same recipe, and gives the same bits; one that is complete returns at once.

    Args:
        config: The recipe.
        on_progress: Called after each finished step.

    Returns:
        ``config.out``: a Hugging Face model directory with ``manifest.json``.

    Raises:
        LipoError: Anything a user can correct; almost all of it before the first tensor is read.

    Example:
        >>> import merge
        >>> from pathlib import Path
        >>> experts = {"math": Path("runs/math"), "ocr": Path("runs/ocr")}
        >>> config = merge.MergeConfig(base=Path("base"), experts=experts, out=Path("merged"), method="average")
        >>> merge.run(config)  # doctest: +SKIP
        PosixPath('merged')
    """
    with hash_early(config) as early:
        with _loading_torch():
            from merge._run import carry_out
        return carry_out(config, early, on_progress or (lambda _: None))


@contextlib.contextmanager
def _loading_torch() -> Iterator[None]:
    """Keep Python from looking for garbage among torch's classes, now and at the end: half a second of both."""
    if "torch" in sys.modules or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
