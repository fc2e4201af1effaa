r"""Check for numbers that are asked for with so many decimals: equal once rounded, or, without decimals, exactly.

The rule of MathVista (Lu et al. 2024, arXiv 2310.02255, section 3.1: a number is rounded to the question's precision).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from lipo.common import LipoError
from reward_fns._golds import as_texts
from reward_fns._latex import clean_latex, without_stop
from reward_fns._options import RewardOptions
from reward_fns._quantity import parse_quantity
from reward_fns._score import score_response
from reward_fns._verdict import Status, Verdict, verdict

_SEPARATOR = re.compile(r"\s*(?:[,;]\s*(?:and\s+)?|\s+and\s+|\s+)\s*")
_MOST_DECIMALS = 12


def _number(text: str) -> Fraction | None:
    quantity = parse_quantity(without_stop(clean_latex(text) or "").strip(" \"'`"))
    return None if quantity is None else quantity.value


def _decimals(gold: str, extra_info: Mapping[str, Any] | None) -> int:
    asked = (extra_info or {}).get("precision")
    try:
        places = len(gold.partition(".")[2]) if asked in (None, "") else int(float(str(asked)))
    except (ValueError, OverflowError) as error:
        raise LipoError(f"extra_info.precision is {asked!r}", "store the number of decimals, or nothing") from error
    return max(0, min(places, _MOST_DECIMALS))


def _same(gold: str, answer: str, extra_info: Mapping[str, Any] | None) -> bool | None:
    right, found = _number(gold), _number(answer)
    places = _decimals(gold, extra_info)
    if right is None:
        raise LipoError(f"the ground truth {gold[:40]!r} is no number", "store a number, or a list of them")
    if found is None:
        return None
    return round(found, places) == round(right, places) if places else found == right


def check(
    answer: str,
    ground_truth: Any,
    options: RewardOptions | None = None,
    extra_info: Mapping[str, Any] | None = None,
) -> Verdict:
    """Compare a number, or a list of numbers in order, with the ground truth.

    Args:
        answer: Final answer, without its box; hostile. Lists with or without brackets.
        ground_truth: Number, its text, or a list, all of which is the answer.
        options: Not used by this check.
        extra_info: ``precision``: decimals asked for; without it, those of the ground truth.

    Returns:
        The verdict; similarity is 1.0 or 0.0. Without decimals there is no rounding: 7.9 is not 8.

    Raises:
        LipoError: The ground truth holds no number, or ``precision`` is none.

    Example:
        >>> check("1.249", "1.2").correct, check("7.9", "8").correct, check("2007 and 2008", [2007, 2008]).correct
        (True, False, True)
    """
    golds = as_texts(ground_truth)
    if len(golds) == 1 and not isinstance(ground_truth, list | tuple):
        same = _same(golds[0], answer, extra_info)
        return verdict(Status.UNPARSED if same is None else Status.EQUAL if same else Status.DIFFERENT)
    inner = (clean_latex(answer) or "").strip().removeprefix("\\{").removesuffix("\\}").strip("[](){} ")
    items = _SEPARATOR.split(inner)
    if not all(items):
        return verdict(Status.UNPARSED)
    same_items = [_same(gold, item, extra_info) for gold, item in zip(golds, items, strict=False)]
    if None in same_items:
        return verdict(Status.UNPARSED)
    return verdict(Status.EQUAL if all(same_items) and len(items) == len(golds) else Status.DIFFERENT)


def compute_score(
    data_source: str, solution_str: str, ground_truth: Any, extra_info: dict[str, Any] | None = None, **kwargs: Any
) -> dict[str, Any]:
    r"""Score a response for verl: ``reward.custom_reward_function.path=pkg://reward_fns.rounded``.

    Args:
        data_source: Not used.
        solution_str: Decoded response of the policy.
        ground_truth: Number, its text, or a list of them.
        extra_info: ``precision``: decimals asked for.
        **kwargs: Keys of :class:`reward_fns.RewardOptions`, from ``reward_kwargs``.

    Returns:
        ``score``, ``acc``, ``similarity``, ``format``, ``repetition``, ``unparsed``, ``timeout``, ``status``, ``pred``.

    Raises:
        LipoError: No or a wrong ground truth, or an invalid setting.

    Example:
        >>> compute_score("mathvista", "<think>…</think>\\boxed{0.62}", "0.6", {"precision": 1})["acc"]
        1.0
    """
    return score_response(check, RewardOptions, solution_str, ground_truth, extra_info, kwargs)
