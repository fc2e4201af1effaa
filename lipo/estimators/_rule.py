"""What every rule shares: its signature, its options, the rows it sees and the statistics it leaves."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any, Generic, NamedTuple, TypeVar

import torch
from torch import Tensor

from lipo.common import LipoError, option, parse
from lipo.groups import Groups, pick

EPSILON = 1e-6
"""Added to σ before dividing, as in verl's own GRPO."""

_ROUNDING = 1e-9
"""An advantage nearer to 0 than this is 0, up to rounding."""
_SAME_REWARD = 0.01
"""Rewards nearer than this are alike: the KL of one token may be part of them."""


@dataclasses.dataclass(frozen=True)
class RuleConfig:
    """Options that every rule has."""

    max_length: int | None = option(
        None,
        help="Upper bound of a response in tokens, usually `${data.max_response_length}`; null: the batch's width.",
        minimum=1,
    )
    correct_threshold: float = option(
        0.5,
        help="A response counts as correct from this reward on; where rewards are graded, set it to what is right.",
        minimum=0,
    )


class Estimate(NamedTuple):
    """What a rule returns.

    Attributes:
        advantages: (N,) one advantage per row, float64.
        statistics: Name → value over the whole batch; a value that no row or group stands behind is left out.
    """

    advantages: Tensor
    statistics: Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Rollouts:
    """The rows a rule works on: those with at least one token, sorted by group, then length, then reward.

    Attributes:
        scores: (N,) task rewards R, float64.
        lengths: (N,) response lengths L in tokens, float64, at least 1.
        groups: Statistics over the rows of one prompt.
        correct: (N,) bool, R ≥ ``correct_threshold``.
        penalty: (N,) part of the reward that is no judgement of the answer, such as −β·KL; see :meth:`grpo`.
        max_length: L_max in tokens.
        normalize_by_std: Whether advantages are divided by the group's standard deviation.
    """

    scores: Tensor
    lengths: Tensor
    groups: Groups
    correct: Tensor
    penalty: Tensor
    max_length: float
    normalize_by_std: bool

    def grpo(self, rewards: Tensor) -> Tensor:
        """Turn shaped rewards into GRPO's advantages, (r − mean) / (σ + 1e-6), σ with n − 1 as in verl.

        The penalty is added first, so that it takes part in the baseline, as it does in verl's own estimators.
        """
        rewards = rewards + self.penalty
        advantages = rewards - self.groups.mean(rewards)
        if self.normalize_by_std:
            advantages = advantages / (self.groups.std(rewards, unbiased=True) + EPSILON)
        return advantages


C = TypeVar("C", bound=RuleConfig)


@dataclasses.dataclass(frozen=True)
class Rule(Generic[C]):
    """A named way from rewards and lengths to advantages; call it like a function.

    Attributes:
        name: The name under ``algorithm.adv_estimator``; its options are under ``algorithm.<name>``.
        config: Dataclass of its options.
        body: The rule itself, on sorted rows.
        uses_max_length: Whether the formula needs L_max.
        uses_correctness: Whether the formula asks which responses are correct.
    """

    name: str
    config: type[C]
    body: Callable[[Rollouts, C], Estimate]
    uses_max_length: bool
    uses_correctness: bool

    def options(self, data: Mapping[str, Any] | None) -> C:
        """Check the mapping under ``algorithm.<name>``.

        Raises:
            LipoError: Unknown key, wrong type or value out of range.
        """
        return parse(self.config, data, f"algorithm.{self.name}")

    @torch.no_grad()
    def __call__(
        self,
        scores: Tensor,
        lengths: Tensor,
        groups: Tensor,
        config: C | None = None,
        *,
        normalize_by_std: bool = True,
        penalty: Tensor | None = None,
    ) -> Estimate:
        """Estimate one advantage per response.

        Rows of length 0 (padding, rejected rollouts) get 0 and take no part in any group; so does a row that is
        alone in its group, except where a rule says otherwise: nothing is known of how good it is.

        Args:
            scores: (N,) task reward of each response, any float type.
            lengths: (N,) response length in tokens.
            groups: (N,) integers, equal for responses to one prompt; see :func:`lipo.groups.group_ids`.
            config: The rule's options; default: all defaults.
            normalize_by_std: Divide by the group's standard deviation (``algorithm.norm_adv_by_std_in_grpo``).
            penalty: (N,) further reward that is no judgement of the answer, such as −β·KL: it enters the baseline
                but neither the test for correctness nor any comparison of answers.

        Returns:
            Advantages in the order of the rows, and statistics.

        Raises:
            LipoError: Shapes differ, or a reward is NaN or infinite.
        """
        config = self.config() if config is None else config
        _check(scores, lengths, groups, penalty)
        advantages = torch.zeros(scores.shape, dtype=torch.float64, device=scores.device)
        kept = (lengths > 0).nonzero().squeeze(1)
        if not kept.numel():
            return Estimate(advantages, {})
        score, length = pick(scores, kept).to(torch.float64), pick(lengths, kept).to(torch.float64)
        extra = None if penalty is None else pick(penalty, kept).to(torch.float64)
        layout = Groups(pick(groups, kept), length, score, *([] if extra is None else [extra]))
        score, length = layout.sort(score), layout.sort(length)
        rollouts = Rollouts(
            scores=score,
            lengths=length,
            groups=layout,
            correct=score >= config.correct_threshold,
            penalty=torch.zeros_like(score) if extra is None else layout.sort(extra),
            max_length=float(config.max_length or length.max()),
            normalize_by_std=normalize_by_std,
        )
        estimate = self.body(rollouts, config)
        advantages.index_copy_(0, kept, layout.restore(estimate.advantages))
        statistics = {**_common(rollouts, estimate.advantages), **estimate.statistics}
        if config.max_length:
            statistics["truncation"] = (length >= config.max_length).double().mean()
        # One transfer for all values: each .item() would wait for the GPU.
        values = torch.stack([value.to(torch.float64) for value in statistics.values()]).tolist()
        named = zip(statistics, values, strict=True)
        return Estimate(advantages, {name: value for name, value in named if math.isfinite(value)})


RULES: dict[str, Rule[Any]] = {}
"""Every rule by name."""


def rule(
    name: str, config: type[C], *, uses_max_length: bool = False, uses_correctness: bool = False
) -> Callable[[Callable[[Rollouts, C], Estimate]], Rule[C]]:
    """Register a function on sorted rows as a rule of the family.

    Args:
        name: Name of the estimator.
        config: Dataclass of its options, a subclass of :class:`RuleConfig`.
        uses_max_length: Whether the formula needs L_max; without ``max_length`` users are then warned.
        uses_correctness: Whether the formula asks which responses are correct; users are then warned where that is
            in doubt.

    Returns:
        Decorator that turns the function into a :class:`Rule`.
    """

    def register(body: Callable[[Rollouts, C], Estimate]) -> Rule[C]:
        if name in RULES:
            raise ValueError(f"two rules are called '{name}'")
        RULES[name] = Rule(name, config, body, uses_max_length, uses_correctness)
        return RULES[name]

    return register


def mean_where(values: Tensor, where: Tensor) -> Tensor:
    """Mean of the marked values; NaN, hence left out of the statistics, where none is marked."""
    return (values * where).sum() / where.sum()


def _common(rollouts: Rollouts, advantages: Tensor) -> dict[str, Tensor]:
    correct, groups = rollouts.correct, rollouts.groups
    right = groups.per_group(groups.sum(correct))
    return {
        "correct_length": mean_where(rollouts.lengths, correct),
        "wrong_length": mean_where(rollouts.lengths, ~correct),
        "all_correct_groups": (right == groups.count).double().mean(),
        "all_wrong_groups": (right == 0).double().mean(),
        "partly_correct": mean_where((rollouts.scores < rollouts.scores.max() - _SAME_REWARD).double(), correct),
        "correct_negative": mean_where((advantages < -_ROUNDING).double(), correct),
    }


def _check(scores: Tensor, lengths: Tensor, groups: Tensor, penalty: Tensor | None) -> None:
    for name, other in (("lengths", lengths), ("groups", groups), ("penalty", penalty)):
        if other is not None and other.shape != scores.shape:
            raise LipoError(
                f"scores have shape {tuple(scores.shape)} but {name} have {tuple(other.shape)}",
                "give one value of each per response",
            )
    for name, values in (("reward", scores), ("penalty", penalty)):
        if values is None or bool(torch.isfinite(values).all()):
            continue
        rows = (~torch.isfinite(values)).nonzero().squeeze(1).tolist()
        shown = ", ".join(map(str, rows[:10])) + (f" and {len(rows) - 10} more" if len(rows) > 10 else "")
        raise LipoError(
            f"the {name} of {len(rows)} of {scores.numel()} responses is NaN or infinite (rows {shown})",
            "make the reward function return a finite number for every response",
        )
