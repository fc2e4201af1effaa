"""Held-out items of equal content: what a model makes of them is alike, so they count as one draw."""

from __future__ import annotations

from functools import cache

import numpy as np

from recipes.tiny.study.config import VIDEO
from recipes.tiny.tasks import make_content


@cache
def contents(task: str, items: int) -> np.ndarray:
    """Number the contents of a task's held-out items.

    Args:
        task: ``math``, ``structured``, ``ocr`` or ``video``.
        items: How many there are.

    Returns:
        (items,) integers from 0 on, equal where the content is; of videos, all differ.

    Example:
        >>> int(contents("math", 400).max()) + 1  # expressions
        319
    """
    if task == VIDEO:
        return np.arange(items)
    numbers: np.ndarray = np.unique([make_content(task, "test", seed) for seed in range(items)], return_inverse=True)[1]
    return numbers
