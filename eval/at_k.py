r"""Figures of several responses to one question: pass@k and maj@k; avg@k is the accuracy itself."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


def budgets(samples: int) -> list[int]:
    """Values of k to report: powers of two up to the number of responses, and that number itself.

    Example:
        >>> budgets(6)
        [1, 2, 4, 6]
    """
    return sorted({2**i for i in range(samples.bit_length())} | {samples})


def pass_at_k(scores: Sequence[float], k: int) -> float:
    r"""Estimate without bias the best score of k responses, from n ≥ k responses.

    The mean of the maximum over all choices of k of the n, $\sum_i s_{(i)} \binom{i-1}{k-1} / \binom{n}{k}$ with the
    scores in ascending order. With c right ones among scores of 0 and 1 it is the estimator of Chen et al.
    (2107.03374, equation 1), $1 - \binom{n-c}{k} / \binom{n}{k}$.

    Args:
        scores: Accuracy of each response in [0, 1].
        k: 1 ≤ k ≤ n.

    Example:
        >>> pass_at_k([1, 0, 0, 0], 2)
        0.5
    """
    n = len(scores)
    total = sum(score * math.comb(i, k - 1) for i, score in enumerate(sorted(scores)) if score)
    return total / math.comb(n, k)


def majority(predictions: Sequence[str], scores: Sequence[float]) -> float:
    """Score the answer that most responses give; answers tied for the lead share equally.

    So nothing depends on the order of the responses, and no tie is decided in the model's favour: two right and two
    wrong votes make ½. Answers are equal if their texts are, but for white space and case. A response without an
    answer (``""``) does not vote; without any vote the score is 0.

    Args:
        predictions: Final answer found in each response.
        scores: Accuracy of each response in [0, 1].

    Example:
        >>> majority(["7", "7", "9", ""], [1, 1, 0, 0]), majority(["7", "9"], [1, 0])
        (1.0, 0.5)
    """
    votes: dict[str, list[float]] = {}
    for prediction, score in zip(predictions, scores, strict=True):
        text = "".join(prediction.split()).casefold()
        if text:
            votes.setdefault(text, []).append(float(score))
    if not votes:
        return 0.0
    most = max(map(len, votes.values()))
    return float(np.mean([np.mean(v) for v in votes.values() if len(v) == most]))
