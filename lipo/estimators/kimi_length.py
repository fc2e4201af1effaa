"""Kimi k1.5's length reward (arXiv 2501.12599, §2.3.3)."""

from __future__ import annotations

import dataclasses

import torch

from lipo.common import option
from lipo.estimators._rule import Estimate, Rollouts, RuleConfig, rule


@dataclasses.dataclass(frozen=True)
class KimiLengthConfig(RuleConfig):
    """Options of Kimi k1.5's length reward, under ``algorithm.kimi_length``."""

    weight: float = option(1.0, help="Factor of the length reward before it is added to the task reward.", minimum=0)


@rule("kimi_length", KimiLengthConfig, uses_correctness=True)
def kimi_length(rollouts: Rollouts, config: KimiLengthConfig) -> Estimate:
    """Rank each response between its group's shortest and longest.

    Formula::

        λ_i = ½ − (L_i − min L) / (max L − min L)        0 where all lengths are equal
        r_i = R_i + weight · λ_i          if correct
        r_i = R_i + weight · min(0, λ_i)  if wrong
        A_i = GRPO's advantage of r_i

    Defaults: the report adds the length reward "with a weighting parameter" whose value it does not give; 1 is our
    choice (0.4 in the comparison runs of LASER's public code). The report warms it up and trains with mirror descent;
    here it enters GRPO.
    """
    groups, lengths = rollouts.groups, rollouts.lengths
    shortest, longest = groups.min(lengths), groups.max(lengths)
    position = (lengths - shortest) / (longest - shortest)
    bonus = torch.where(longest > shortest, 0.5 - position, 0.0)
    bonus = torch.where(rollouts.correct, bonus, bonus.clamp(max=0))
    return Estimate(rollouts.grpo(rollouts.scores + config.weight * bonus), {})
