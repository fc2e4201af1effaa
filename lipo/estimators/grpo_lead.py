"""GRPO-LEAD (arXiv 2504.09696)."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from lipo.common import option
from lipo.estimators._rule import EPSILON, Estimate, Rollouts, RuleConfig, rule


@dataclasses.dataclass(frozen=True)
class GrpoLeadConfig(RuleConfig):
    """Options of GRPO-LEAD, under ``algorithm.grpo_lead``."""

    alpha: float = option(0.05, help="α: strength of the length term.", minimum=0)
    wrong_reward: float = option(-1.0, help="Reward of a wrong response.")
    easy_weight: float = option(0.4, help="A: weight of a question that is always solved.", minimum=0)
    hard_weight: float = option(1.5, help="B: weight of a question that is never solved.", minimum=0)
    midpoint: float = option(0.75, help="ρ₀: share of correct responses at which the weight is half-way.", minimum=0)
    steepness: float = option(10.0, help="k: how fast the weight changes around the midpoint.", minimum=0)


@rule("grpo_lead", GrpoLeadConfig, uses_correctness=True)
def grpo_lead(rollouts: Rollouts, config: GrpoLeadConfig) -> Estimate:
    """Reward short correct responses, punish wrong ones, and weight by difficulty.

    Formula, with z over the lengths of the group's correct responses and ρ their share::

        z_i = (L_i − μ_c) / (σ_c + 1e-6)
        r_i = R_i exp(−α z_i) if correct else −1
        a_i = GRPO's advantage of r_i
        w(ρ) = A + (B − A) / (1 + exp(k (ρ − ρ₀)))
        A_i = a_i w(ρ) if a_i > 0 else a_i w(1 − ρ)

    Defaults (α 0.05, A 0.4, B 1.5, k 10, ρ₀ 0.75) as in the authors' code. That code also leaves groups alone whose
    three shortest responses average 4000 tokens or fewer; this is not in the paper and not done here.
    """
    groups, lengths, correct = rollouts.groups, rollouts.lengths, rollouts.correct
    z = (lengths - groups.mean(lengths, correct)) / (groups.std(lengths, correct, unbiased=True) + EPSILON)
    rewards = torch.where(correct, rollouts.scores * torch.exp(-config.alpha * z), config.wrong_reward)
    advantages = rollouts.grpo(rewards)
    solved = groups.sum(correct) / groups.size()
    weight = torch.where(advantages > 0, _weight(solved, config), _weight(1 - solved, config))
    return Estimate(advantages * weight, {"mean_weight": weight.mean()})


def _weight(share: Tensor, config: GrpoLeadConfig) -> Tensor:
    span = config.hard_weight - config.easy_weight
    return config.easy_weight + span * torch.sigmoid(-config.steepness * (share - config.midpoint))
