"""DAPO's soft overlong punishment (arXiv 2503.14476, §3.4, equation 13)."""

from __future__ import annotations

import dataclasses

from lipo.common import option
from lipo.estimators._rule import Estimate, Rollouts, RuleConfig, rule


@dataclasses.dataclass(frozen=True)
class SoftOverlongConfig(RuleConfig):
    """Options of DAPO's soft overlong punishment, under ``algorithm.soft_overlong``."""

    buffer_length: int | None = option(
        None, help="L_cache: tokens below max_length where the punishment starts; null: a fifth of it.", minimum=1
    )
    weight: float = option(1.0, help="Largest punishment.", minimum=0)


@rule("soft_overlong", SoftOverlongConfig, uses_max_length=True)
def soft_overlong(rollouts: Rollouts, config: SoftOverlongConfig) -> Estimate:
    """Punish responses that come near the limit, more the nearer they come.

    Formula::

        p_i = 0                                      if L_i ≤ L_max − L_cache
        p_i = (L_max − L_cache − L_i) / L_cache      if L_max − L_cache < L_i ≤ L_max
        p_i = −1                                     beyond
        r_i = R_i + weight · p_i
        A_i = GRPO's advantage of r_i

    Defaults: the paper's L_cache is 4096 of L_max = 20480, a fifth; weight 1. Only this part of DAPO is an estimator;
    its clipping, token-level loss and dynamic sampling are options of verl.
    """
    buffer = config.buffer_length or rollouts.max_length / 5
    punishment = ((rollouts.max_length - buffer - rollouts.lengths) / buffer).clamp(-1, 0)
    return Estimate(rollouts.grpo(rollouts.scores + config.weight * punishment), {})
