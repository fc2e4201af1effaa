r"""Reward for counting and yes/no questions: exactly the right whole number, or the right side."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from reward_fns._golds import as_texts
from reward_fns._latex import clean_latex
from reward_fns._number import parse_number_words
from reward_fns._options import RewardOptions
from reward_fns._quantity import parse_quantity
from reward_fns._score import score_response
from reward_fns._verdict import Status, Verdict, verdict

_YES = frozenset(("yes", "true", "correct", "y", "是"))
_NO = frozenset(("no", "false", "incorrect", "n", "否"))
_NEGATION = re.compile(r"n['\u2019]t(?!\w)|(?<!\w)(?:not|never|neither|nor|unless|except)(?!\w)")
# What follows must not change the count: three dozen are 36, three quarters less than one, "3 at most" any of four.
_SIZED = re.compile(
    r"\s(?:dozens?|scores?|tens|hundreds?|thousands?|millions?|percent|hal(?:f|ves)|thirds?|fourths?|quarters?|fifths?"
    r"|sixths?|sevenths?|eighths?|ninths?|tenths?|(?:hundred|thousand)ths?|zero|squared|cubed|doubled|tripled|halved"
    r"|at (?:most|least)|no|not|wrong|false)\b"
)
_WORD = re.compile(r"[^\W\d_]+")
_MOST_WORDS = 12


def _side(text: str) -> bool | None:
    """Read yes or no from the first word; an answer that says both says neither, and nor does a negated yes."""
    words = _WORD.findall(text.casefold())
    yes, no = not _YES.isdisjoint(words), not _NO.isdisjoint(words)
    if yes == no or (words[0] not in _YES and words[0] not in _NO):
        return None
    return None if yes and _NEGATION.search(text.casefold()) else yes


def check(
    answer: str,
    ground_truth: Any,
    options: RewardOptions | None = None,
    extra_info: Mapping[str, Any] | None = None,
) -> Verdict:
    """Compare a count or a yes/no answer with the ground truth.

    Args:
        answer: Final answer, without its box; hostile. A number in digits or words, perhaps with what is counted; or
            ``yes``, ``no``, ``true``, ``false``, first in the answer and alone.
        ground_truth: Whole number, boolean, or text like the answer.
        options: Not used by this check.
        extra_info: Not used.

    Returns:
        The verdict; similarity is 1.0 or 0.0.

    Raises:
        LipoError: The ground truth is empty or of an unknown type.

    Example:
        >>> check("three dogs", 3).correct, check("Yes, it is.", "yes").correct, check("yes or no", "yes").status
        (True, True, <Status.UNPARSED: 'unparsed'>)
    """
    found = clean_latex(answer)
    if not found:
        return verdict(Status.UNPARSED)
    gold = clean_latex(as_texts(ground_truth)[0]) or ""
    side = _side(gold)
    if side is not None:
        answered = _side(found)
        if answered is None:
            return verdict(Status.UNPARSED)
        return verdict(Status.EQUAL if answered == side else Status.DIFFERENT)
    found = _digits_first(found)
    count, right = parse_quantity(found), parse_quantity(_digits_first(gold))
    if count is None or right is None or count.percent or _SIZED.search(found.casefold()):
        return verdict(Status.UNPARSED)
    return verdict(Status.EQUAL if count.value == right.value else Status.DIFFERENT)


def _digits_first(text: str) -> str:
    """Write ``three hundred dogs`` as ``300 dogs``."""
    words = text.split()
    lengths = range(min(len(words), _MOST_WORDS), 1, -1)
    spoken = next((n for n in lengths if parse_number_words(" ".join(words[:n])) is not None), 1)
    number = parse_quantity(" ".join(words[:spoken]))
    if number is None or (spoken == 1 and parse_quantity(text) is not None):
        return text
    return " ".join([str(number.value), *words[spoken:]])


def compute_score(
    data_source: str, solution_str: str, ground_truth: Any, extra_info: dict[str, Any] | None = None, **kwargs: Any
) -> dict[str, Any]:
    r"""Score a response for verl: ``reward.custom_reward_function.path=pkg://reward_fns.counting_yes_no``.

    Args:
        data_source: Not used.
        solution_str: Decoded response of the policy.
        ground_truth: Whole number, boolean, or text.
        extra_info: Not used.
        **kwargs: Keys of :class:`reward_fns.RewardOptions`, from ``reward_kwargs``.

    Returns:
        ``score``, ``acc``, ``similarity``, ``format``, ``repetition``, ``unparsed``, ``timeout``, ``status``, ``pred``.

    Raises:
        LipoError: No ground truth, or an invalid setting.

    Example:
        >>> compute_score("count", "<think>one, two</think>\\boxed{2}", 2)["score"]
        1.0
    """
    return score_response(check, RewardOptions, solution_str, ground_truth, extra_info, kwargs)
