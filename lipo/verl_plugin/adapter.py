"""Turns a rule into what verl calls: token rewards and masks in, token advantages out, statistics by the side door."""

from __future__ import annotations

import dataclasses
import functools
import logging
import statistics
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from lipo.common import LipoError
from lipo.estimators import RULES
from lipo.groups import group_ids

_logger = logging.getLogger(__name__)
_BLOCKS = 128
_DOUBTFUL = 0.1
"""Share of correct responses with less than the best reward from which on users are warned."""
_collected: dict[str, list[float]] = {}
_warned: set[str] = set()


def drain() -> dict[str, float]:
    """Take the statistics of all calls since the last time, averaged and named ``lipo/<statistic>``.

    verl's asynchronous trainers call an estimator several times between two lines of their log. Empty where there was
    no call.
    """
    taken = {f"lipo/{name}": statistics.fmean(values) for name, values in _collected.items()}
    _collected.clear()
    return taken


@functools.cache
def as_verl_estimator(name: str) -> Callable[..., tuple[Tensor, Tensor]]:
    """Give one rule the signature of verl's advantage estimators.

    Options come from ``algorithm.<name>``; ``algorithm.norm_adv_by_std_in_grpo=false`` drops the division by σ.

    The score of a response is the sum of its token rewards, its length the number of its unmasked tokens: tokens that
    ``algorithm.rollout_correction`` rejects one by one do not count, and a response rejected as a whole, like a
    padding row, gets advantage 0 and takes no part in its group.

    With ``algorithm.use_kl_in_reward`` verl has spread −β·KL over the tokens and the task score sits on the last of
    them. Then only this last reward is the score that decides which responses are correct or similar; it is off by
    the −β·KL of that single token. The rest is added to the shaped reward before the group's statistics, so that KL
    enters the baseline just as in verl's own ``grpo``. Rewards that a reward function itself spreads over tokens
    cannot be told from KL: use ``actor.use_kl_loss`` with those.

    Args:
        name: Name of the rule.

    Returns:
        The estimator; the same object for the same name, as verl's registry wants.
    """
    rule = RULES[name]

    @torch.no_grad()
    def estimator(
        token_level_rewards: Tensor, response_mask: Tensor, index: Any = None, config: Any = None, **_: Any
    ) -> tuple[Tensor, Tensor]:
        """Estimate advantages, as verl calls it.

        Args:
            token_level_rewards: (bs, T) rewards of any float type.
            response_mask: (bs, T), non-zero on response tokens.
            index: (bs,) group label of each row (verl's uid).
            config: ``config.algorithm``, or None for defaults.

        Returns:
            Advantages and returns, one float32 tensor of (bs, T).

        Raises:
            LipoError: Unknown or invalid option, no group labels, or a reward that is NaN or infinite.
        """
        if index is None:
            raise LipoError(f"{name} got a batch without group labels", "pass the prompts' uid as 'index'")
        settings = {} if config is None else config
        options = rule.options(settings.get(name, None))
        width_serves = options.max_length is None
        if width_serves:
            if rule.uses_max_length:
                _warn_once(
                    f"algorithm.{name}.max_length is not set: the width of each batch serves instead "
                    f"({response_mask.shape[-1]} tokens now); set +algorithm.{name}.max_length="
                    "'${data.max_response_length}'",
                    f"{name}.max_length",
                )
            options = dataclasses.replace(options, max_length=response_mask.shape[-1])
        # The float mask becomes the result in place: a product of mask and advantages would need memory for both.
        advantages = torch.empty(response_mask.shape, dtype=torch.float32, device=response_mask.device)
        advantages.copy_(response_mask)
        scores, penalty = _scores(token_level_rewards, bool(settings.get("use_kl_in_reward", False)))
        estimate = rule(
            scores,
            advantages.sum(-1),
            group_ids(index, scores.device),
            options,
            normalize_by_std=bool(settings.get("norm_adv_by_std_in_grpo", True)),
            penalty=penalty,
        )
        partly = estimate.statistics.get("partly_correct", 0)
        if rule.uses_correctness and partly > _DOUBTFUL:
            _warn_once(
                f"{partly:.0%} of the responses that count as correct have less than the best reward of the batch: if "
                f"some of them are wrong, {name} rewards them for being short, too; set algorithm.{name}."
                f"correct_threshold, now {options.correct_threshold:g}, to the reward from which on an answer is right",
                f"{name}.correct_threshold",
            )
        for statistic, value in estimate.statistics.items():
            # Measured against the batch's width, some row is always at the limit.
            if not (width_serves and statistic == "truncation"):
                _collected.setdefault(statistic, []).append(value)
        advantages.mul_(estimate.advantages.float().unsqueeze(-1))
        return advantages, advantages

    estimator.__name__ = estimator.__qualname__ = f"{name}_estimator"
    return estimator


def _warn_once(message: str, option: str) -> None:
    if option not in _warned:
        _warned.add(option)
        _logger.warning("%s", message)


def _blocks(tensor: Tensor) -> Iterator[slice]:
    """Rows in at most 128 pieces: a temporary of one piece stays below 1 % of the batch."""
    step = -(-tensor.shape[0] // _BLOCKS) or 1
    return (slice(start, start + step) for start in range(0, tensor.shape[0], step))


def _scores(rewards: Tensor, has_kl: bool) -> tuple[Tensor, Tensor | None]:
    """Task score per row, and the KL part of the reward where there is one, both (bs,)."""
    if not has_kl or not rewards.shape[0]:
        return rewards.sum(-1), None
    place = torch.arange(rewards.shape[1], device=rewards.device)
    # The last reward that is not zero: the mask may have lost the last token to rejection since.
    last = torch.cat([torch.where(rewards[rows] != 0, place, 0).amax(-1) for rows in _blocks(rewards)])
    total = torch.cat([rewards[rows].sum(-1, dtype=torch.float64) for rows in _blocks(rewards)])
    score = rewards.gather(1, last.unsqueeze(1)).squeeze(1).double()
    return score, total - score
