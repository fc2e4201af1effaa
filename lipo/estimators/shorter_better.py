"""ShorterBetter (arXiv 2504.21370)."""

from __future__ import annotations

import dataclasses

import torch

from lipo.common import option
from lipo.estimators._rule import Estimate, Rollouts, RuleConfig, rule


@dataclasses.dataclass(frozen=True)
class ShorterBetterConfig(RuleConfig):
    """Options of ShorterBetter, under ``algorithm.shorter_better``."""

    alpha: float = option(2.0, help="α: factor of the task reward.", minimum=0)
    beta: float = option(1e-3, help="β: cost of each token away from the sample optimal length.", minimum=0)


@rule("shorter_better", ShorterBetterConfig, uses_correctness=True)
def shorter_better(rollouts: Rollouts, config: ShorterBetterConfig) -> Estimate:
    """Draw every response toward the length of the group's shortest correct one.

    Formula::

        L_SOL = min of the correct lengths, or the mean of all lengths if none is correct
        r_i   = α R_i − β |L_i − L_SOL|
        A_i   = GRPO's advantage of r_i

    Defaults: α = 2, β = 0.001 as in the authors' code. Statistic: ``optimal_length`` (mean L_SOL).
    """
    groups, lengths = rollouts.groups, rollouts.lengths
    shortest = groups.min(lengths, where=rollouts.correct)
    optimum = torch.where(torch.isfinite(shortest), shortest, groups.mean(lengths))
    rewards = config.alpha * rollouts.scores - config.beta * (lengths - optimum).abs()
    return Estimate(rollouts.grpo(rewards), {"optimal_length": groups.per_group(optimum).mean()})
