"""Ground truths as data sets store them: text, numbers, lists, arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lipo.common import LipoError


def as_texts(ground_truth: Any) -> list[str]:
    """Turn a ground truth into one or more texts.

    Args:
        ground_truth: Text, number, or a list or array of them.

    Raises:
        LipoError: It is empty, or something else.

    Example:
        >>> as_texts(5), as_texts(["a", "b"])
        (['5'], ['a', 'b'])
    """
    if isinstance(ground_truth, str):
        texts = [ground_truth]
    elif isinstance(ground_truth, (bool, int, float)):
        texts = [str(ground_truth)]
    else:
        # NumPy arrays and scalars, which parquet files turn lists and numbers into.
        items = ground_truth.tolist() if hasattr(ground_truth, "tolist") else ground_truth
        if isinstance(items, (str, bool, int, float)):
            return as_texts(items)
        if not isinstance(items, Sequence) or not all(isinstance(i, (str, bool, int, float)) for i in items):
            raise LipoError(
                f"a ground truth is {type(ground_truth).__name__}", "store text, a number, or a list of them"
            )
        texts = [str(item) for item in items]
    if not texts or not all(text.strip() for text in texts):
        raise LipoError("a ground truth is empty", "remove the row or fill reward_model.ground_truth")
    return texts
