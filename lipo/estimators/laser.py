"""LASER, length-based step reward (arXiv 2505.15612)."""

from __future__ import annotations

import dataclasses

from lipo.common import option
from lipo.estimators._rule import Estimate, Rollouts, RuleConfig, rule


@dataclasses.dataclass(frozen=True)
class LaserConfig(RuleConfig):
    """Options of LASER, under ``algorithm.laser``."""

    target_length: int | None = option(
        None,
        help="L_T: a correct response up to this many tokens gets the bonus; null: a quarter of max_length.",
        minimum=1,
    )
    bonus: float = option(0.5, help="α: the bonus.", minimum=0)


@rule("laser", LaserConfig, uses_max_length=True, uses_correctness=True)
def laser(rollouts: Rollouts, config: LaserConfig) -> Estimate:
    """Give correct responses within a target length a fixed bonus.

    Formula::

        r_i = R_i + α · 1[correct and L_i ≤ L_T]
        A_i = GRPO's advantage of r_i

    Defaults as in the authors' scripts: α = 0.5; L_T = 4096 of 16384 (2048 and 8192 are tried too). LASER-D, which
    moves L_T per difficulty while training, needs a memory over steps and is not offered. Statistic: ``boosted``.
    """
    target = config.target_length or rollouts.max_length / 4
    boosted = rollouts.correct & (rollouts.lengths <= target)
    return Estimate(rollouts.grpo(rollouts.scores + config.bonus * boosted), {"boosted": boosted.double().mean()})
