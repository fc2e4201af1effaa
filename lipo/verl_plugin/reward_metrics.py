"""What a reward function returns beside the score, as metrics of a training step."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

_SCORE = "score"
"""verl logs it itself."""


def reward_metrics(extra_fields: Iterable[Any]) -> dict[str, float]:
    """Average the numbers of a step's responses.

    Args:
        extra_fields: verl's, a dict per response, with the reward function's dict as ``reward_extra_info``.

    Returns:
        ``reward/<key>`` → mean over the responses that have a number there; strings and the score are left out.

    Example:
        >>> reward_metrics([{"reward_extra_info": {"acc": 1.0}}, {"reward_extra_info": {"acc": 0.0, "pred": "B"}}])
        {'reward/acc': 0.5}
    """
    values: dict[str, list[float]] = defaultdict(list)
    for fields in extra_fields:
        found = fields.get("reward_extra_info") if isinstance(fields, dict) else None
        for key, value in (found or {}).items():
            if key != _SCORE and isinstance(value, (int, float)):
                values[key].append(float(value))
    return {f"reward/{key}": statistics.fmean(numbers) for key, numbers in values.items()}
