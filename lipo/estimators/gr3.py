"""GR³, Group Relative Reward Rescaling (arXiv 2603.10535)."""

from __future__ import annotations

import dataclasses

from lipo.common import option
from lipo.estimators._rule import Estimate, Rollouts, RuleConfig, rule


@dataclasses.dataclass(frozen=True)
class Gr3Config(RuleConfig):
    """Options of GR³, under ``algorithm.gr3``."""

    alpha: float = option(
        0.3, help="α: strength; a response of mean length keeps 1 / (1 + α) of its reward.", minimum=0
    )


@rule("gr3", Gr3Config)
def gr3(rollouts: Rollouts, config: Gr3Config) -> Estimate:
    """Scale rewards down by length relative to the group's mean length.

    Formula::

        r_i = R_i / (1 + α L_i / mean L)
        A_i = GRPO's advantage of r_i

    The paper makes α as large as possible while, in nearly all groups, a best response of mean length keeps a
    non-negative advantage; 0.3 is the value a later comparison used, not the paper's. Rewards should not be negative:
    a long wrong response would gain.
    """
    relative = rollouts.lengths / rollouts.groups.mean(rollouts.lengths)
    return Estimate(rollouts.grpo(rollouts.scores / (1 + config.alpha * relative)), {})
