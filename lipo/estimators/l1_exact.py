"""L1, LCPO-Exact (arXiv 2503.04697, equation 1)."""

from __future__ import annotations

import dataclasses

from lipo.estimators._budget import BudgetConfig, budget
from lipo.estimators._rule import Estimate, Rollouts, rule


@dataclasses.dataclass(frozen=True)
class L1ExactConfig(BudgetConfig):
    """Options of LCPO-Exact, under ``algorithm.l1_exact``."""


@rule("l1_exact", L1ExactConfig, uses_max_length=True)
def l1_exact(rollouts: Rollouts, config: L1ExactConfig) -> Estimate:
    """Hold every response, right or wrong, to a number of tokens.

    Formula::

        r_i = R_i − α |L* − L_i|
        A_i = GRPO's advantage of r_i

    Default α = 0.0003 as in the authors' script. The paper draws L* per prompt from 100 to 4000 and writes it into the
    prompt; an estimator sees no prompts, so here one L* serves all (name it in your prompts). Null = half of L_max is
    our choice.
    """
    distance = (rollouts.lengths - budget(rollouts, config)).abs()
    return Estimate(rollouts.grpo(rollouts.scores - config.alpha * distance), {})
