"""GFPO, Group Filtered Policy Optimization (arXiv 2508.09726)."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from lipo.common import option
from lipo.estimators._rule import EPSILON, Estimate, Rollouts, RuleConfig, rule
from lipo.groups import Groups, pick


@dataclasses.dataclass(frozen=True)
class GfpoConfig(RuleConfig):
    """Options of GFPO, under ``algorithm.gfpo``."""

    keep: float = option(0.5, help="k/G: share of each group that is trained on.", minimum=0, maximum=1)
    metric: str = option(
        "shortest",
        help="Keep the shortest responses, or those with the most reward per token (efficiency).",
        choices=("shortest", "efficiency"),
    )


@rule("gfpo", GfpoConfig)
def gfpo(rollouts: Rollouts, config: GfpoConfig) -> Estimate:
    """Train only on the best responses by length or by reward per token.

    Formula::

        S   = the k responses of the group with the smallest L_i, or with the largest R_i / L_i;  k = ⌈keep · G⌉
        A_i = (R_i − mean_S R) / (σ_S + 1e-6) if i in S, else 0

    Defaults: the paper keeps 8 of 16 (also 6 of 8, 4 of 16, 4 and 8 of 24). At equal R/L the shorter is kept, and
    responses that tie for the last place are all kept, so that row order does not matter: both are our choice.
    Statistic: ``kept`` (share of rows).
    """
    groups, lengths = rollouts.groups, rollouts.lengths
    metric = lengths.neg() if config.metric == "shortest" else rollouts.scores / lengths
    kept = _top(groups, metric, lengths, config.keep)
    rewards = rollouts.scores + rollouts.penalty
    advantages = rewards - groups.mean(rewards, kept)
    if rollouts.normalize_by_std:
        advantages = advantages / (groups.std(rewards, kept, unbiased=True) + EPSILON)
    return Estimate(torch.where(kept, advantages, 0.0), {"kept": kept.double().mean()})


def _top(groups: Groups, metric: Tensor, lengths: Tensor, share: float) -> Tensor:
    """Mark the rows of largest metric, then of smallest length, up to ⌈share · G⌉ and ties with the last of them."""
    ranked = Groups(groups.index, metric.neg(), lengths)
    key, length = ranked.sort(metric), ranked.sort(lengths)
    starts_tie = (ranked.rank() == 0) | (key != key.roll(1)) | (length != length.roll(1))
    rank = ranked.rank()
    place = torch.arange(rank.numel(), device=rank.device)
    tie_rank = pick(rank, torch.where(starts_tie, place, 0).cummax(0).values)
    # The small step keeps ⌈0.1 · 10⌉ from becoming 2 by rounding.
    return ranked.restore(tie_rank < torch.ceil(share * ranked.size() - 1e-9).clamp(min=1))
