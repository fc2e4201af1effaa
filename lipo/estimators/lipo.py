"""LIPO, Length-Informed Relative Policy Optimization (Tiny-R1V, arXiv 2510.08987).

Written from public descriptions; no reference code is public. The paper states the pair test on reward, a factor for
the shorter response that fades as its length nears an upper bound, and the optimal length; its figures show the
Laplacian weight around it and the weighted statistics. What both leave open is an option or marked as our choice.
"""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor

from lipo.common import option
from lipo.estimators._pairs import similar_among_all_longer, similar_among_next_longer
from lipo.estimators._rule import EPSILON, Estimate, Rollouts, RuleConfig, rule

_TOLERANCE = 1e-6
_EXPONENTIAL_RATE = 3.0


@dataclasses.dataclass(frozen=True)
class LipoConfig(RuleConfig):
    """Options of LIPO, under ``algorithm.lipo``. All defaults are our choice: the paper does not give its values."""

    similarity_threshold: float = option(
        0.1, help="ξ: two responses are similar if their rewards differ by less; 0 switches the boost off.", minimum=0
    )
    boost: float = option(
        1.0, help="γ: a boosted reward is multiplied by 1 + γ f(L), f falling from 1 to 0 at max_length.", minimum=0
    )
    pairs: str = option(
        "all",
        help="Compare a response with every longer one of its group, or only with the next longer ones (adjacent).",
        choices=("all", "adjacent"),
    )
    decay: str = option(
        "cosine", help="Form of f: how the boost fades with length.", choices=("cosine", "linear", "exponential")
    )
    length_scale: float | None = option(
        None, help="s: tokens from the optimum at which a response weighs 1/e; null: the optimal length.", minimum=1
    )
    weight_wrong: bool = option(
        False, help="Weigh wrong responses by their length, too; false: they weigh 1, so that no penalty fades."
    )
    weight_advantage: bool | str = option(
        True,
        help="Multiply each advantage by its weight: true, false, or only where it is positive (μ and σ then without).",
        choices=(True, False, "positive"),
    )


@rule("lipo", LipoConfig, uses_max_length=True, uses_correctness=True)
def lipo(rollouts: Rollouts, config: LipoConfig) -> Estimate:
    """Boost short correct answers, weight all around an optimal length (Tiny-R1V, arXiv 2510.08987).

    Formula::

        boosted_i = correct_i and some j of the group has L_j > L_i and |R_j − R_i| < ξ
        R_adj,i   = R_i (1 + γ f(L_i)) if boosted_i else R_i
        L_opt     = max(2 min L, median L)
        w_i       = exp(−|L_i − L_opt| / s) if correct_i else 1
        μ         = Σ w R_adj / Σ w
        σ²        = Σ w (R_adj − μ)² / Σ w
        A_i       = w_i (R_adj,i − μ) / (σ + 1e-6)

    Our choices where the paper is silent: the gate on correctness (without it a group of wrong answers would be
    rewarded for brevity alone), comparing all pairs (with neighbours only, the boost is not monotone in length),
    f(L) = ½(1 + cos(π L/L_max)), s = L_opt, the normalisation of the weighted statistics, and that wrong responses
    weigh 1: ``weight_wrong`` weighs them by their length, too, and then a response that runs into the limit is hardly
    punished for it. With the leading w_i the advantages of a group sum to 0, as in GRPO, and none exceeds √n for n
    responses. Without it there is no bound: far from L_opt a correct response adds next to nothing to σ. So
    ``weight_advantage=positive`` takes μ and σ without weights, which bounds it by √(n − 1). Rewards that differ by ξ
    up to float32 rounding are not similar.

    Statistics besides the common ones: ``optimal_length`` (mean L_opt), ``boosted`` (share of rows), ``mean_weight``.
    """
    groups, lengths = rollouts.groups, rollouts.lengths
    boosted = rollouts.correct & _has_longer_peer(rollouts, config)
    shaped = torch.where(boosted, rollouts.scores * (1 + config.boost * _fade(rollouts, config)), rollouts.scores)
    shaped = shaped + rollouts.penalty

    optimum = torch.maximum(2 * groups.min(lengths), groups.median(lengths))
    distance = (lengths - optimum).abs()
    scale = optimum if config.length_scale is None else config.length_scale
    exponents = distance / scale
    if not config.weight_wrong:
        exponents = torch.where(rollouts.correct, exponents, 0.0)
    weights = torch.exp(-exponents)
    # μ and σ do not change with a common factor; this one keeps Σ w from underflowing when s is small.
    relative = torch.exp(groups.min(exponents) - exponents)
    counted = None if config.weight_advantage == "positive" else relative
    advantages = shaped - groups.mean(shaped, counted)
    if rollouts.normalize_by_std:
        advantages = advantages / (groups.std(shaped, counted) + EPSILON)
    if config.weight_advantage == "positive":
        advantages = torch.where(advantages > 0, weights * advantages, advantages)
    elif config.weight_advantage:
        advantages = weights * advantages
    return Estimate(
        advantages,
        {
            "optimal_length": groups.per_group(optimum).mean(),
            "boosted": boosted.double().mean(),
            "mean_weight": weights.mean(),
        },
    )


def _fade(rollouts: Rollouts, config: LipoConfig) -> Tensor:
    """f(L): 1 for an empty response, 0 from L_max on."""
    x = (rollouts.lengths / rollouts.max_length).clamp(max=1)
    if config.decay == "cosine":
        return (1 + torch.cos(math.pi * x)) / 2
    if config.decay == "linear":
        return 1 - x
    end = math.exp(-_EXPONENTIAL_RATE)
    return (torch.exp(-_EXPONENTIAL_RATE * x) - end) / (1 - end)


def _has_longer_peer(rollouts: Rollouts, config: LipoConfig) -> Tensor:
    """Whether a strictly longer response of the group has a similar reward, (N,) bool."""
    # Rewards such as 0.9·accuracy + 0.1·format sit exactly ξ apart; rounding must not decide.
    xi = config.similarity_threshold - _TOLERANCE
    if xi <= 0:
        return torch.zeros_like(rollouts.correct)
    search = similar_among_next_longer if config.pairs == "adjacent" else similar_among_all_longer
    return search(rollouts.groups, rollouts.lengths, rollouts.scores, xi)
