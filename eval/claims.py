"""Judges claims such as "expert math: at least 42 % fewer tokens at no loss of accuracy" from paired figures."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from eval.config import Claim, EvalConfig, require_known
from eval.statistics import Estimate
from lipo.common import LipoError

if TYPE_CHECKING:
    from eval.results import Comparison, Results


@dataclass(frozen=True)
class Verdict:
    """A claim with the figures that decide it."""

    claim: Claim
    text: str
    """The claim in words."""
    held: bool
    """Both point estimates meet the claim's limits."""
    confirmed: bool
    """Both 95 % intervals lie wholly within the limits; stricter than ``held``."""
    token_reduction: Estimate | None
    """1 - token ratio."""
    accuracy_difference: Estimate
    items: int
    explanation: str
    """The figures in words, and which limit was missed."""


def check_claims(claims: Iterable[Claim], config: EvalConfig) -> None:
    """Refuse claims about models or benchmarks that are not evaluated, or about the baseline itself.

    Raises:
        LipoError: The first such claim.
    """
    for i, claim in enumerate(claims):
        require_known(f"claims[{i}].model", claim.model, config.models)
        require_known(f"claims[{i}].benchmark", claim.benchmark, {**config.benchmarks, "average": None})
        if claim.model == config.baseline:
            raise LipoError(f"claims[{i}] compares the baseline with itself", "name another model")


def judge(claims: Iterable[Claim], results: Results) -> list[Verdict]:
    """Judge claims against the comparisons with the baseline.

    Args:
        claims: What is claimed; models and benchmarks must exist in ``results``.
        results: After :func:`eval.results.summarise`.

    Returns:
        One verdict per claim, in order.
    """
    baseline = results.config.baseline
    return [_judge(claim, results.comparisons[claim.model][claim.benchmark], baseline) for claim in claims]


def _judge(claim: Claim, comparison: Comparison, baseline: str) -> Verdict:
    ratio, difference = comparison.token_ratio, comparison.accuracy_difference
    # The reduction is at least as sure as the upper end of the ratio's interval.
    reduction = None if ratio is None else Estimate(1 - ratio.value, 1 - ratio.high, 1 - ratio.low)
    shorter = reduction is not None and reduction.value >= claim.min_token_reduction - 1e-9
    accurate = difference.value >= -claim.max_accuracy_loss - 1e-9
    surely = (
        reduction is not None
        and reduction.low >= claim.min_token_reduction
        and difference.low >= -claim.max_accuracy_loss
    )
    held = shorter and accurate
    return Verdict(
        claim=claim,
        text=_describe(claim, baseline),
        held=held,
        confirmed=held and surely,
        token_reduction=reduction,
        accuracy_difference=difference,
        items=comparison.items,
        explanation=_explain(comparison, reduction, shorter, accurate),
    )


def _describe(claim: Claim, baseline: str) -> str:
    where = "on average over all benchmarks" if claim.benchmark == "average" else f"on {claim.benchmark}"
    loss = f"an accuracy loss of at most {100 * claim.max_accuracy_loss:g} points"
    if claim.max_accuracy_loss == 0:
        loss = "no loss of accuracy"
    return (
        f"{claim.model}: at least {100 * claim.min_token_reduction:g} % fewer tokens than {baseline} {where}, at {loss}"
    )


def _explain(comparison: Comparison, reduction: Estimate | None, shorter: bool, accurate: bool) -> str:
    d = comparison.accuracy_difference
    parts = ["no tokens to compare"]
    if reduction is not None:
        more_or_fewer = "fewer" if reduction.value >= 0 else "more"
        parts = [f"{100 * abs(reduction.value):.1f} % {more_or_fewer} tokens ({_percent(reduction, '%')})"]
    parts.append(f"accuracy {100 * d.value:+.1f} points ({_percent(d, 'points')})")
    if comparison.p_value is not None:
        changes = f"{comparison.became_right} became right, {comparison.became_wrong} wrong"
        parts.append(f"{changes}, McNemar p = {comparison.p_value:.2g}")
    if not shorter:
        parts.append("the reduction is too small")
    if not accurate:
        within = "sampling error alone could explain it" if d.high >= 0 else "more than sampling error explains"
        parts.append(f"accuracy fell; {within}")
    return "; ".join(parts) + f"; {comparison.items} paired items"


def _percent(e: Estimate, unit: str) -> str:
    if not e.bounded:
        return "no interval from one cluster"
    return f"95 % interval {100 * e.low:+.1f} to {100 * e.high:+.1f} {unit}"
