r"""Check against the answers of several people: VQA accuracy (Antol et al. 2015, arXiv 1505.00468, section 3).

With $m$ of the others' answers equal to the response, a person's vote is $\min(m / 3, 1)$; the score is the mean over
leaving each person out, as the published evaluation computes it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from reward_fns._golds import as_texts
from reward_fns._options import RewardOptions
from reward_fns._score import score_response
from reward_fns._text import clean_characters
from reward_fns._verdict import Status, Verdict, verdict

_ENOUGH = 3
"""People who must agree with the answer for a full score."""
_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_DIGITS = {word: str(i) for i, word in enumerate(_WORDS)}
_DIGITS["none"] = "0"
_ARTICLES = frozenset(("a", "an", "the"))
_APOSTROPHE = re.compile(r"['’`]")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d)")
_STOP = re.compile(r"(?<!\d)\.|\.(?!\d)")
_PUNCTUATION = re.compile(r'[;/\[\]"{}()=+\\_\-><@,?!]')


def _normalise(text: str) -> str:
    """Bring an answer into the form in which answers are counted as equal."""
    text = _STOP.sub("", _THOUSANDS.sub("", _APOSTROPHE.sub("", (clean_characters(text) or "").casefold())))
    words = _PUNCTUATION.sub(" ", text).split()
    return " ".join(_DIGITS.get(word, word) for word in words if word not in _ARTICLES)


def check(
    answer: str,
    ground_truth: Any,
    options: RewardOptions | None = None,
    extra_info: Mapping[str, Any] | None = None,
) -> Verdict:
    """Compare an answer with those of several people.

    Args:
        answer: Final answer, without its box; hostile.
        ground_truth: Their answers, usually ten; one answer alone must be met.
        options: Not used by this check.
        extra_info: Not used.

    Returns:
        The verdict: the similarity is VQA accuracy, equal only where that is 1.

    Raises:
        LipoError: There is no answer, or an empty one.

    Example:
        >>> people = ["stop"] * 3 + ["stop sign"] * 7
        >>> check("Stop.", people).similarity, check("the stop sign", people).similarity, check("go", people).similarity
        (0.9, 1.0, 0.0)
    """
    found = _normalise(answer)
    if not found:
        return verdict(Status.UNPARSED)
    golds = [_normalise(text) for text in as_texts(ground_truth)]
    agree = golds.count(found)
    if len(golds) == 1:
        return verdict(Status.EQUAL if agree else Status.DIFFERENT)
    with_one_out = agree * min(1.0, (agree - 1) / _ENOUGH) + (len(golds) - agree) * min(1.0, agree / _ENOUGH)
    score = round(with_one_out / len(golds), 6)
    return verdict(Status.EQUAL) if score >= 1 else Verdict(Status.DIFFERENT, score)


def compute_score(
    data_source: str, solution_str: str, ground_truth: Any, extra_info: dict[str, Any] | None = None, **kwargs: Any
) -> dict[str, Any]:
    r"""Score a response for verl: ``reward.custom_reward_function.path=pkg://reward_fns.vqa_accuracy``.

    Args:
        data_source: Not used.
        solution_str: Decoded response of the policy.
        ground_truth: Answers of several people.
        extra_info: Not used.
        **kwargs: Keys of :class:`reward_fns.RewardOptions`, from ``reward_kwargs``.

    Returns:
        ``score``, ``acc``, ``similarity``, ``format``, ``repetition``, ``unparsed``, ``timeout``, ``status``, ``pred``.

    Raises:
        LipoError: No ground truth, or an invalid setting.

    Example:
        >>> compute_score("textvqa", "<think>…</think>\\boxed{coca-cola}", ["coca cola"] * 10)["acc"]
        1.0
    """
    return score_response(check, RewardOptions, solution_str, ground_truth, extra_info, kwargs)
