"""MME's score (Fu et al. 2023, arXiv 2306.13394, section 2.3): accuracy and accuracy+, summed over categories."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from eval.sources.item import Item


def mme_scores(items: Sequence[Item], correct: Sequence[float]) -> dict[str, float]:
    """Compute the scores of categories, perception, cognition and all.

    A category's score is 100 · accuracy + 100 · accuracy+, where accuracy+ is the share of pictures with both questions
    right; so it is 200 at most, perception 2000 (10 categories) and cognition 800 (4 categories).

    Args:
        items: Questions with the groups ``category`` and ``kind``; those of a picture share a cluster.
        correct: Accuracy of each; of several samples it counts as right where all are.

    Returns:
        ``perception``, ``cognition``, ``total``, and the category names.
    """
    questions: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    kinds: dict[str, str] = {}
    for item, value in zip(items, correct, strict=True):
        category = item.groups.get("category", "")
        questions[category][item.cluster].append(value)
        kinds[category] = item.groups.get("kind", "")
    scores: dict[str, float] = {}
    for category, pictures in questions.items():
        values = [value for both in pictures.values() for value in both]
        both_right = [float(min(both) >= 1) for both in pictures.values()]
        scores[category] = 100 * sum(values) / len(values) + 100 * sum(both_right) / len(both_right)
    sums = {kind: sum(s for c, s in scores.items() if kinds[c] == kind) for kind in ("perception", "cognition")}
    return {**sums, "total": sum(sums.values()), **dict(sorted(scores.items()))}
