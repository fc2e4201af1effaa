"""Dr. GRPO's advantage (arXiv 2503.20783, §3.2)."""

from __future__ import annotations

import dataclasses

from lipo.estimators._rule import Estimate, Rollouts, RuleConfig, rule


@dataclasses.dataclass(frozen=True)
class DrGrpoConfig(RuleConfig):
    """Options of Dr. GRPO, under ``algorithm.dr_grpo``."""


@rule("dr_grpo", DrGrpoConfig)
def dr_grpo(rollouts: Rollouts, config: DrGrpoConfig) -> Estimate:
    """Leave out GRPO's division by σ, which favours questions that are too easy or too hard.

    Formula::

        A_i = R_i − mean R

    The method's other half, a loss that is not divided by each response's length, is verl's
    ``actor_rollout_ref.actor.loss_agg_mode=seq-mean-token-sum-norm``; without it the length bias stays.
    """
    return Estimate(dataclasses.replace(rollouts, normalize_by_std=False).grpo(rollouts.scores), {})
