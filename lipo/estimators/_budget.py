"""Options of the two rules that aim at a fixed number of tokens (L1)."""

from __future__ import annotations

import dataclasses

from lipo.common import option
from lipo.estimators._rule import Rollouts, RuleConfig


@dataclasses.dataclass(frozen=True)
class BudgetConfig(RuleConfig):
    """A token budget and the cost of a token."""

    target_length: int | None = option(
        None, help="L*: the budget in tokens, the same for every prompt; null: half of max_length.", minimum=1
    )
    alpha: float = option(3e-4, help="α: cost of each token away from (exact) or above (max) the budget.", minimum=0)


def budget(rollouts: Rollouts, config: BudgetConfig) -> float:
    """L* in tokens."""
    return config.target_length or rollouts.max_length / 2
