r"""Reward for mathematics: the final answer is the same value, or the same expression, as the ground truth.

Exact text, numbers, units, structure (tuples, intervals, sets, matrices, equations) and the values of formulas are
compared in this process, in microseconds and without evaluating anything that could grow. Only what they leave open
goes to math-verify, in worker processes that are killed when they take too long.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Any

from reward_fns._equivalence import Comparison, Symbolic
from reward_fns._golds import as_texts
from reward_fns._latex import clean_latex
from reward_fns._limits import refusal
from reward_fns._options import MathOptions
from reward_fns._pool import require_math_verify, symbolic_pool
from reward_fns._score import score_response
from reward_fns._structure import MAX_DEPTH, depth
from reward_fns._verdict import Status, Verdict, verdict

_PLAIN_INTEGER = re.compile(r"0|-?[1-9]\d{0,17}", re.ASCII)


@functools.lru_cache(maxsize=8192)
def _compare_symbolically(gold: str, answer: str, seconds: float, workers: int, memory_mb: int) -> Status:
    # A group of responses to one prompt often gives one answer many times, and a hostile one too.
    return symbolic_pool(workers, memory_mb).compare(gold, answer, seconds)


def _symbolic(options: MathOptions) -> Symbolic:
    def ask(gold: str, answer: str) -> Status:
        refused = refusal(answer) or refusal(gold)
        if refused is not None or not options.symbolic:
            return refused or Status.UNPARSED
        return _compare_symbolically(
            gold, answer, options.symbolic_seconds, options.symbolic_workers, options.symbolic_memory_mb
        )

    return ask


def _compare(gold: str, answer: str, options: MathOptions) -> Status:
    if _PLAIN_INTEGER.fullmatch(gold) and _PLAIN_INTEGER.fullmatch(answer):
        return Status.EQUAL if gold == answer else Status.DIFFERENT
    cleaned_gold, cleaned_answer = clean_latex(gold), clean_latex(answer)
    if not cleaned_answer or not cleaned_gold:
        return Status.UNPARSED
    if max(depth(cleaned_answer), depth(cleaned_gold)) > MAX_DEPTH:
        return Status.TOO_LONG
    return Comparison(_symbolic(options), options.accept_unevaluated).status(cleaned_gold, cleaned_answer)


def check(
    answer: str,
    ground_truth: Any,
    options: MathOptions | None = None,
    extra_info: Mapping[str, Any] | None = None,
) -> Verdict:
    r"""Compare a final answer with the ground truth.

    Args:
        answer: Final answer, without its box; hostile.
        ground_truth: Text or number; a list holds alternatives, one of which must be met.
        options: Limits of the symbolic comparison.
        extra_info: Not used.

    Returns:
        The verdict; similarity is 1.0 or 0.0.

    Raises:
        LipoError: The ground truth is empty or of an unknown type.

    Example:
        >>> check("\\frac{\\sqrt{2}}{2}", "1/\\sqrt{2}").correct, check("[1, 2]", "(1, 2)").correct
        (True, False)
    """
    options = options or MathOptions()
    if options.symbolic:
        require_math_verify()
    answer = answer.strip()
    statuses = []
    for gold in as_texts(ground_truth):
        statuses.append(_compare(gold.strip(), answer, options))
        if statuses[-1] is Status.EQUAL:
            break
    return verdict(statuses[-1])


def compute_score(
    data_source: str, solution_str: str, ground_truth: Any, extra_info: dict[str, Any] | None = None, **kwargs: Any
) -> dict[str, Any]:
    r"""Score a response for verl: ``reward.custom_reward_function.path=pkg://reward_fns.math``.

    Args:
        data_source: Not used.
        solution_str: Decoded response of the policy.
        ground_truth: Text or number; a list holds alternatives.
        extra_info: Not used.
        **kwargs: Keys of :class:`reward_fns.MathOptions`, from ``reward_kwargs``.

    Returns:
        ``score``, ``acc``, ``similarity``, ``format``, ``repetition``, ``unparsed``, ``timeout``, ``status``, ``pred``.

    Raises:
        LipoError: No ground truth, or an invalid setting.

    Example:
        >>> compute_score("math", "<think>8+5=13</think>\\boxed{13}", "13")["score"]
        1.0
    """
    return score_response(check, MathOptions, solution_str, ground_truth, extra_info, kwargs)
