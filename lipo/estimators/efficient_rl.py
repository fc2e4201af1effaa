"""Training language models to reason efficiently, Arora and Zanette (arXiv 2502.04463)."""

from __future__ import annotations

import dataclasses

import torch

from lipo.common import option
from lipo.estimators._rule import Estimate, Rollouts, RuleConfig, rule


@dataclasses.dataclass(frozen=True)
class EfficientRlConfig(RuleConfig):
    """Options of Arora and Zanette's rule, under ``algorithm.efficient_rl``."""

    alpha: float = option(
        0.1, help="α: largest share of a correct response's reward that length takes away.", minimum=0, maximum=1
    )


@rule("efficient_rl", EfficientRlConfig, uses_correctness=True)
def efficient_rl(rollouts: Rollouts, config: EfficientRlConfig) -> Estimate:
    """Take a share of a correct response's reward, by where its length lies among the correct ones.

    Formula, with μ_c and σ_c (population) over the lengths of the group's correct responses::

        r_i = R_i (1 − α sigmoid((L_i − μ_c) / (σ_c + 1e-7)))  if correct, else R_i
        A_i = r_i − mean of the other r_j                      (RLOO, no division by σ)

    Defaults: α = 0.1 as in the authors' scripts; the paper goes from 0 to 0.4. The advantage is the authors' RLOO, so
    ``norm_adv_by_std_in_grpo`` does not matter.
    """
    groups, lengths, correct = rollouts.groups, rollouts.lengths, rollouts.correct
    z = (lengths - groups.mean(lengths, correct)) / (groups.std(lengths, correct) + 1e-7)
    shaped = rollouts.scores * torch.where(correct, 1 - config.alpha * torch.sigmoid(z), 1.0)
    centred = dataclasses.replace(rollouts, normalize_by_std=False).grpo(shaped)
    size = groups.size()
    return Estimate(centred * size / (size - 1).clamp(min=1), {})
