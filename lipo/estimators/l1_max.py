"""L1, LCPO-Max (arXiv 2503.04697, equation 2)."""

from __future__ import annotations

import dataclasses

from lipo.common import option
from lipo.estimators._budget import BudgetConfig, budget
from lipo.estimators._rule import Estimate, Rollouts, rule


@dataclasses.dataclass(frozen=True)
class L1MaxConfig(BudgetConfig):
    """Options of LCPO-Max, under ``algorithm.l1_max``."""

    delta: float = option(0.5, help="δ: share of the reward left exactly at the budget.", minimum=0, maximum=1)


@rule("l1_max", L1MaxConfig, uses_max_length=True)
def l1_max(rollouts: Rollouts, config: L1MaxConfig) -> Estimate:
    """Let a correct response lose reward gradually as it uses up and exceeds a budget.

    Formula::

        r_i = R_i · clip(α (L* − L_i) + δ, 0, 1)
        A_i = GRPO's advantage of r_i

    Defaults: α = 0.0003, δ = 0.5, as in the paper. As in ``l1_exact``, one L* serves all prompts, and null = half of
    L_max is our choice.
    """
    share = (config.alpha * (budget(rollouts, config) - rollouts.lengths) + config.delta).clamp(0, 1)
    return Estimate(rollouts.grpo(rollouts.scores * share), {})
