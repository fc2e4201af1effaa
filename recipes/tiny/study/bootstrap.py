"""Intervals over seeds and items."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

RESAMPLES = 4000
_SEED = 20251


def resample(values: np.ndarray, groups: np.ndarray, name: str = "") -> np.ndarray:
    """Draw seeds and groups of items with replacement, each for itself, as every seed answers the same items.

    This is the bootstrap for two crossed factors (Owen 2007, "The pigeonhole bootstrap", arXiv 0712.1111). With few
    seeds, it can only show the spread that these few have.

    Args:
        values: (seeds, items, columns).
        groups: (items,), integers from 0 on; items of one group, such as those of equal content, are drawn together.
        name: Of the items. Those of another name are drawn independently; seeds are not.

    Returns:
        Means of the bootstrap samples, (RESAMPLES, columns). The draws depend on the number of seeds, the groups and
        the name alone, so that columns of one call, and such calls, are paired.

    Example:
        >>> resample(np.ones((2, 5, 1)), np.arange(5)).mean().item()
        1.0
    """
    seeds, items, columns = values.shape
    seed_shares = np.random.default_rng(_SEED).multinomial(seeds, np.full(seeds, 1 / seeds), RESAMPLES) / seeds
    item_shares = _draw_items(tuple(groups.tolist()), name)
    by_seed = item_shares @ values.transpose(1, 0, 2).reshape(items, seeds * columns)
    result: np.ndarray = np.einsum("rs,rsc->rc", seed_shares, by_seed.reshape(RESAMPLES, seeds, columns))
    return result


@lru_cache(maxsize=4)
def _draw_items(groups: tuple[int, ...], name: str) -> np.ndarray:
    """Share of every item in every bootstrap sample, (RESAMPLES, items); the same for all models that answered them."""
    count = max(groups) + 1
    generator = np.random.default_rng([_SEED, *name.encode()])
    drawn = generator.multinomial(count, np.full(count, 1 / count), RESAMPLES)[:, groups]
    shares: np.ndarray = drawn / drawn.sum(1, keepdims=True)
    return shares


def interval(value: float, resampled: np.ndarray) -> dict[str, float]:
    """95 % percentile interval of a figure, rounded so that equal runs give equal files on other machines, too."""
    # A machine's own order of sums shows in the last digits, and would decide where a figure lies between two.
    low, high = np.quantile(resampled.round(9), [0.025, 0.975])
    return {name: round(float(x), 6) for name, x in (("value", value), ("low", low), ("high", high))}
