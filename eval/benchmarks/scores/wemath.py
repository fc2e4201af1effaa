"""We-Math's four-dimensional metric (Qiao et al. 2024, arXiv 2407.01284, section 3.3).

A problem of several steps comes with each step as a question of its own. With the steps and the whole problem

- right, right: complete mastery (CM);
- right, wrong: inadequate generalisation (IG);
- wrong, wrong: insufficient knowledge (IK);
- wrong, right: rote memorisation (RM).

"The steps are right" means all of them in the strict reading; in the loose one, for CM, at least one. The score is
``(N - 0.5 IG - RM - IK) / N`` for N problems.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence

from eval.sources.item import Item

_KEY = re.compile(r"(\d)steps_(multi|\d)")


def wemath_scores(items: Sequence[Item], correct: Sequence[float]) -> dict[str, float]:
    """Compute the strict and the loose score and their parts.

    Args:
        items: Questions whose ``extra_info`` has ``key`` (``2steps_1``, ``2steps_multi``, …) and ``ID``.
        correct: Accuracy of each; of several samples a question counts as right where all are.

    Returns:
        ``strict`` and ``loose`` score; counts of ``IK`` and ``IG``, of ``CM`` and ``RM`` both ways; ``problems``: N,
        those of which every step was asked. All but the counts are shares; empty without any problem.
    """
    problems: dict[tuple[str, str], dict[str, bool]] = defaultdict(dict)
    for item, value in zip(items, correct, strict=True):
        match = _KEY.search(str(item.extra_info.get("key") or ""))
        if match:
            problems[match.group(1), str(item.extra_info.get("ID"))][match.group(2)] = value >= 1
    counts = dict.fromkeys(("IK", "IG", "CM_strict", "CM_loose", "RM_strict", "RM_loose"), 0)
    total = 0
    for (steps, _), answers in problems.items():
        parts = [answers.get(str(number)) for number in range(1, int(steps) + 1)]
        if None in parts or "multi" not in answers:
            continue
        total += 1
        if answers["multi"]:
            counts["CM_strict"] += all(parts)
            counts["CM_loose"] += any(parts)
            counts["RM_strict"] += not all(parts)
            counts["RM_loose"] += not any(parts)
        else:
            counts["IG"] += all(parts)
            counts["IK"] += not all(parts)
    if not total:
        return {}
    lost = 0.5 * counts["IG"] + counts["IK"]
    scores = {way: (total - lost - counts[f"RM_{way}"]) / total for way in ("strict", "loose")}
    return {**scores, **{name: float(count) for name, count in counts.items()}, "problems": float(total)}
