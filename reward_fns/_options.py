"""Settings of the rewards, given through verl's ``reward.custom_reward_function.reward_kwargs``."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from lipo.common import option, parse

_PASSED_BY_VERL = frozenset({"reward_router_address", "reward_model_tokenizer"})
"""verl adds these when a reward model runs beside the rules; rules have no use for them."""


@dataclass(frozen=True)
class RewardOptions:
    """Weights, limits and form of a response, shared by all rewards."""

    format_weight: float = option(
        0.1, help="Share of the score earned by the format; accuracy earns the rest.", minimum=0.0, maximum=1.0
    )
    think_tag: str = option("think", help="Name of the tag around the reasoning; empty if none is asked for.")
    answer_style: str = option(
        "boxed",
        help="Where the final answer stands: the last `\\boxed{}`; the last `<answer>` tag; or `plain`: a box, else a "
        "tag, else the last line.",
        choices=("boxed", "tag", "plain"),
    )
    max_repetition: float = option(
        0.5,
        help="Largest share of a response's word 8-grams that may be repetitions before its format counts as broken; "
        "1 switches the detector off.",
        minimum=0.0,
        maximum=1.0,
    )
    max_response_chars: int = option(
        200_000, help="Longer responses score 0 and are not looked at (status `too_long`).", minimum=1
    )
    max_answer_chars: int = option(
        2048, help="Longer final answers are not compared (status `too_long`).", minimum=1, maximum=100_000
    )
    count_reflections: bool = option(
        False, help="Add `reflections`, the number of self-corrections that change the answer; takes 0.1 ms."
    )


@dataclass(frozen=True)
class MathOptions(RewardOptions):
    """Settings of :mod:`reward_fns.math`."""

    accept_unevaluated: bool = option(
        False, help="Accept `47+38` where the ground truth is the plain number 85; invites repeating the question."
    )
    symbolic: bool = option(
        True, help="Let math-verify decide, in worker processes, what exact and numeric comparison cannot."
    )
    symbolic_seconds: float = option(
        2.0, help="Processor time one symbolic comparison may take.", minimum=0.1, maximum=60.0
    )
    symbolic_workers: int = option(2, help="Worker processes for symbolic comparison.", minimum=1, maximum=64)
    symbolic_memory_mb: int = option(1024, help="Address space of a worker process in MiB.", minimum=256, maximum=65536)


@dataclass(frozen=True)
class StructuredOptions(RewardOptions):
    """Settings of :mod:`reward_fns.structured`."""

    tolerance: float = option(
        0.0,
        help="Relative deviation allowed for numbers; 0.05 is ChartQA's relaxed accuracy.",
        minimum=0.0,
        maximum=0.5,
    )
    exact_years: bool = option(
        True, help="Compare whole numbers from 1000 to 2999 exactly in spite of a tolerance, as they may be years."
    )


@dataclass(frozen=True)
class OcrOptions(RewardOptions):
    """Settings of :mod:`reward_fns.ocr`."""

    case_sensitive: bool = option(False, help="Whether upper and lower case differ.")
    ignore_spaces: bool = option(False, help="Remove all white space before comparing, instead of collapsing it.")
    similarity_threshold: float = option(
        0.0, help="Similarities below it count as 0; 0.5 makes the similarity ANLS.", minimum=0.0, maximum=1.0
    )


Options = TypeVar("Options", bound=RewardOptions)


@functools.lru_cache(maxsize=256)
def _parse_cached(cls: type[Options], items: tuple[tuple[str, Any], ...]) -> Options:
    return parse(cls, dict(items), "reward_kwargs")


def parse_options(cls: type[Options], kwargs: Mapping[str, Any]) -> Options:
    """Check ``reward_kwargs``; equal settings are parsed once per process.

    Raises:
        LipoError: Unknown key, wrong type, or value out of range.
    """
    items = tuple((key, value) for key, value in kwargs.items() if key not in _PASSED_BY_VERL)
    try:
        return _parse_cached(cls, items)  # type: ignore[arg-type]
    except TypeError:
        # Unhashable values cannot be cached.
        return parse(cls, dict(items), "reward_kwargs")
