"""GRPO with Gaussian noise on the advantages, as in TinyLLaVA-Video-R1 (arXiv 2504.09641, §3.2)."""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor

from lipo.common import option
from lipo.estimators._rule import Estimate, Rollouts, RuleConfig, rule
from lipo.groups import Groups, pick


@dataclasses.dataclass(frozen=True)
class GrpoNoiseConfig(RuleConfig):
    """Options of GRPO with noise, under ``algorithm.grpo_noise``."""

    noise_std: float = option(0.02, help="σ of the Gaussian noise added to each advantage; 0: none.", minimum=0)
    epsilon: float = option(1e-4, help="Added to the group's σ before dividing.", minimum=0)
    seed: int = option(0, help="Of the noise; equal seeds and equal batches give equal noise.", minimum=0)


@rule("grpo_noise", GrpoNoiseConfig)
def grpo_noise(rollouts: Rollouts, config: GrpoNoiseConfig) -> Estimate:
    """Add noise to GRPO's advantage, so that groups of equal rewards have a gradient, too.

    Formula::

        A_i = (R_i − mean R) / (σ + 1e-4) + ε_i,   ε_i ~ N(0, 0.02²),   σ with n − 1

    The noise is a function of the seed and of all rewards and lengths of the batch, not of a state that a resumed run
    would have to restore: a step repeated with the same responses gets the same noise, any other step other noise.
    It follows the rows into any order of the batch; only rows (or groups) that are alike in reward and length share
    their draws out among them by place. A row that is alone in its group gets noise only, as in the published code.
    Statistic: ``noise``, its root mean square in this batch.
    """
    rewards = rollouts.scores + rollouts.penalty
    advantages = rewards - rollouts.groups.mean(rewards)
    if rollouts.normalize_by_std:
        advantages = advantages / (rollouts.groups.std(rewards, unbiased=True) + config.epsilon)
    if not config.noise_std:
        return Estimate(advantages, {})
    noise = config.noise_std * _standard_normal(rollouts, config.seed)
    return Estimate(advantages + noise, {"noise": noise.square().mean().sqrt()})


def _standard_normal(rollouts: Rollouts, seed: int) -> Tensor:
    """Draw one number per row by hashing its content, its group's and the batch's, (N,) float64."""
    groups = rollouts.groups
    # Adding 0 makes one of the two zeros.
    row = _mix(_mix((rollouts.scores + 0.0).view(torch.int64)) + rollouts.lengths.to(torch.int64))
    # Sums do not depend on order; they wrap around.
    group = torch.zeros_like(groups.start).index_add_(0, groups.index, row)
    batch = _mix(_mix(group).sum() + seed)
    key = pick(_mix(group + _mix(_place_among_equals(group))), groups.index)
    key = _mix(batch + _mix(key + _mix(row + _place_among_equals(row, groups.index))))
    # Box and Muller's transform of two uniform numbers.
    radius = (-2.0 * _uniform(key).log()).sqrt()
    return radius * (2.0 * math.pi * _uniform(_mix(key))).cos()


def _place_among_equals(values: Tensor, within: Tensor | None = None) -> Tensor:
    """Number equal values in the order they stand in, from 0, (N,) int64; ``within``: equal there, too."""
    keys = values if within is None else _mix(values) + within
    alike = Groups(torch.unique(keys, return_inverse=True)[1])
    return alike.restore(alike.rank())


def _mix(values: Tensor) -> Tensor:
    """Scramble int64 values: the finaliser of SplitMix64 (Steele et al. 2014, figure 15)."""
    values = values + _signed(0x9E3779B97F4A7C15)
    values = (values ^ _shift(values, 30)) * _signed(0xBF58476D1CE4E5B9)
    values = (values ^ _shift(values, 27)) * _signed(0x94D049BB133111EB)
    return values ^ _shift(values, 31)


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def _shift(values: Tensor, bits: int) -> Tensor:
    """Shift right without the sign."""
    return (values >> bits) & ((1 << (64 - bits)) - 1)


def _uniform(keys: Tensor) -> Tensor:
    """Turn scrambled bits into numbers between 0 and 1, both excluded."""
    return (_shift(keys, 11).to(torch.float64) + 0.5) / (1 << 53)
