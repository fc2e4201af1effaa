"""DLER, Doing Length pEnalty Right (arXiv 2510.15110)."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from lipo.common import option
from lipo.estimators._rule import Estimate, Rollouts, RuleConfig, rule


@dataclasses.dataclass(frozen=True)
class DlerConfig(RuleConfig):
    """Options of DLER, under ``algorithm.dler``."""

    target_length: int | None = option(
        None, help="A longer response gets reward 0; null: max_length, where generation stops anyway.", minimum=1
    )


@rule("dler", DlerConfig, uses_max_length=True)
def dler(rollouts: Rollouts, config: DlerConfig) -> Estimate:
    """Cut off at a length, and normalise over the batch instead of the group.

    Formula, with mean_B and σ_B over all tokens of the batch::

        r_i = R_i if L_i ≤ L_T else 0
        a_i = r_i − mean of the group
        A_i = (a_i − mean_B a) / √(σ_B² + 1e-8)

    The authors train with verl's ``reinforce_plus_plus_baseline``, whose whitening counts tokens, not responses; this
    does the same, at a limit of 4000 tokens. The other half of the recipe are options of verl: a higher upper clip
    (``actor.clip_ratio_high=0.28``) and dynamic sampling (``algorithm.filter_groups``). Here a group of equal rewards
    does not get exactly 0, as its advantages are measured against the batch's mean.
    """
    rewards = torch.where(rollouts.lengths <= (config.target_length or rollouts.max_length), rollouts.scores, 0.0)
    centred = dataclasses.replace(rollouts, normalize_by_std=False).grpo(rewards)
    tokens = rollouts.lengths
    total = _sum(tokens)
    deviation = centred - _sum(tokens * centred) / total
    if not rollouts.normalize_by_std:
        return Estimate(deviation, {})
    variance = _sum(tokens * deviation**2) / (total - 1).clamp(min=1)
    return Estimate(deviation / (variance + 1e-8).sqrt(), {})


def _sum(values: Tensor) -> Tensor:
    """Sum over the batch in ascending order, the same to the last bit whatever the order of prompts."""
    return values.sort().values.sum()
