"""The mean over tasks, each with equal weight, however many questions it has: MVBench's average, MLVU's M-Avg."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from eval.sources.item import Item


def task_average(items: Sequence[Item], correct: Sequence[float]) -> dict[str, float]:
    """Compute the accuracy of every task in percent, and their mean.

    MVBench: Li et al. 2023, arXiv 2311.17005, table 2; MLVU: Zhou et al. 2024, arXiv 2406.04264, section 4.1.

    Args:
        items: Questions with the group ``task``.
        correct: Accuracy of each.

    Returns:
        ``task average``, and the tasks' names; empty where no question has a task.
    """
    tasks: dict[str, list[float]] = defaultdict(list)
    for item, value in zip(items, correct, strict=True):
        if "task" in item.groups:
            tasks[item.groups["task"]].append(value)
    means = {task: 100 * sum(values) / len(values) for task, values in sorted(tasks.items())}
    return {"task average": sum(means.values()) / len(means), **means} if means else {}
