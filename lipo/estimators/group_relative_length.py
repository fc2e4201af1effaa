"""Group-relative length penalty of NeMo-RL (``grpo.length_penalty``)."""

from __future__ import annotations

import dataclasses

import torch

from lipo.common import option
from lipo.estimators._rule import Estimate, Rollouts, RuleConfig, rule


@dataclasses.dataclass(frozen=True)
class GroupRelativeLengthConfig(RuleConfig):
    """Options of the group-relative length penalty, under ``algorithm.group_relative_length``."""

    coefficient: float = option(0.5, help="Reward between the shortest and the longest correct response.", minimum=0)


@rule("group_relative_length", GroupRelativeLengthConfig, uses_correctness=True)
def group_relative_length(rollouts: Rollouts, config: GroupRelativeLengthConfig) -> Estimate:
    """Move reward from the longer to the shorter correct responses, on balance none.

    Formula, all of it over the group's correct responses (two or more)::

        w_i = 1 − (L_i − min L) / (max L − min L)        0 where all lengths are equal
        r_i = max(0, R_i + coefficient · (w_i − mean w))
        A_i = GRPO's advantage of r_i

    NeMo-RL's ``group_total_length_penalty_coeff`` is off (0) by default; 0.5 is what a later paper reports of NVIDIA's
    own use, there for reasoning and answer separately. NeMo-RL takes only rewards of 0 and 1; other rewards are our
    extension. Its further rules (shortest bonus, outliers, bands) are not part of this.
    """
    groups, lengths, correct = rollouts.groups, rollouts.lengths, rollouts.correct
    shortest, longest = groups.min(lengths, where=correct), groups.max(lengths, where=correct)
    weight = torch.where(longest > shortest, 1 - (lengths - shortest) / (longest - shortest), 0.0)
    moved = (rollouts.scores + config.coefficient * (weight - groups.mean(weight, correct))).clamp(min=0)
    return Estimate(rollouts.grpo(torch.where(correct, moved, rollouts.scores)), {})
