"""Cosine reward, "Demystifying long chain-of-thought reasoning" (arXiv 2502.03373, §4)."""

from __future__ import annotations

import dataclasses
import math

import torch

from lipo.common import option
from lipo.estimators._rule import Estimate, Rollouts, RuleConfig, rule


@dataclasses.dataclass(frozen=True)
class CosineLengthConfig(RuleConfig):
    """Options of the cosine reward, under ``algorithm.cosine_length``."""

    correct_short: float = option(2.0, help="Reward of a correct response of length 0.")
    correct_long: float = option(1.0, help="Reward of a correct response just below max_length.")
    wrong_short: float = option(-10.0, help="Reward of a wrong response of length 0.")
    wrong_long: float = option(0.0, help="Reward of a wrong response just below max_length.")
    exceeded: float = option(-10.0, help="Reward of any response that reaches max_length.")


@rule("cosine_length", CosineLengthConfig, uses_max_length=True, uses_correctness=True)
def cosine_length(rollouts: Rollouts, config: CosineLengthConfig) -> Estimate:
    """Let the reward follow half a cosine from short to long, one curve for right and one for wrong answers.

    Formula::

        r_i = v_long + ½ (v_short − v_long) (1 + cos(π L_i / L_max))       v by correctness
        r_i = −10                                                          if L_i ≥ L_max
        A_i = GRPO's advantage of r_i

    Defaults as in the authors' scripts. They make wrong answers longer by design: the paper stabilises length rather
    than cutting it. The rule replaces the task reward, so partial credit is lost; the paper's repetition penalty is
    not part of it.
    """
    lengths = rollouts.lengths
    short = torch.full_like(lengths, config.wrong_short).masked_fill(rollouts.correct, config.correct_short)
    long = torch.full_like(lengths, config.wrong_long).masked_fill(rollouts.correct, config.correct_long)
    rewards = long + (short - long) * (1 + torch.cos(math.pi * lengths / rollouts.max_length)) / 2
    rewards = rewards.masked_fill(lengths >= rollouts.max_length, config.exceeded)
    return Estimate(rollouts.grpo(rewards), {})
