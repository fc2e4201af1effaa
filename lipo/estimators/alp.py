"""ALP, Adaptive Length Penalty (arXiv 2506.05256)."""

from __future__ import annotations

import dataclasses

import torch

from lipo.common import option
from lipo.estimators._rule import Estimate, Rollouts, RuleConfig, rule


@dataclasses.dataclass(frozen=True)
class AlpConfig(RuleConfig):
    """Options of ALP, under ``algorithm.alp``."""

    beta: float = option(1e-7, help="β/N: cost of a token where every response of the group is correct.", minimum=0)


@rule("alp", AlpConfig, uses_correctness=True)
def alp(rollouts: Rollouts, config: AlpConfig) -> Estimate:
    """Charge for tokens in proportion to how often the question is solved.

    Formula, with K responses in the group, p of them correct (as a share)::

        r_i = R_i − β/N · L_i · max(p, 1/K)
        A_i = GRPO's advantage of r_i

    Default β/N = 1e-7 comes from a survey, not from the paper's text or code. Small as it is, in a group of only
    correct (or only wrong) responses the division by σ turns it into a full-sized length signal.
    """
    groups = rollouts.groups
    size = groups.size()
    solved = torch.maximum(groups.sum(rollouts.correct), torch.ones_like(rollouts.scores)) / size
    return Estimate(rollouts.grpo(rollouts.scores - config.beta * rollouts.lengths * solved), {})
