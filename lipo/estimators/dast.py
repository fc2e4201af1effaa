"""DAST, Difficulty-Adaptive Slow Thinking (arXiv 2503.04472, §3.1 and §3.2)."""

from __future__ import annotations

import dataclasses

import torch

from lipo.estimators._rule import Estimate, Rollouts, RuleConfig, rule


@dataclasses.dataclass(frozen=True)
class DastConfig(RuleConfig):
    """Options of DAST, under ``algorithm.dast``."""


@rule("dast", DastConfig, uses_max_length=True, uses_correctness=True)
def dast(rollouts: Rollouts, config: DastConfig) -> Estimate:
    """Give each question a token budget by how often it is solved, and reward by distance to it.

    Formula, with p the share of correct responses in the group and L̄_c their mean length::

        B   = p L̄_c + (1 − p) L_max
        λ_i = (L_i − B) / B
        r_i = max(½ − ½ λ_i, 0.1)       if correct
        r_i = min(0.9 λ_i − 0.1, −0.1)  if wrong
        A_i = GRPO's advantage of r_i

    The constants are the paper's (read in notes checked against it, not in the authors' code). The paper ranks
    pairs for SimPO by this reward; its use in GRPO is our transfer. It replaces the task reward, so partial credit is
    lost. Statistic: ``optimal_length`` (mean B).
    """
    groups, lengths, correct = rollouts.groups, rollouts.lengths, rollouts.correct
    solved = groups.sum(correct) / groups.size()
    budget = solved * groups.mean(lengths, correct) + (1 - solved) * rollouts.max_length
    excess = (lengths - budget) / budget
    rewards = torch.where(correct, (0.5 - 0.5 * excess).clamp(min=0.1), (0.9 * excess - 0.1).clamp(max=-0.1))
    return Estimate(rollouts.grpo(rewards), {"optimal_length": groups.per_group(budget).mean()})
