"""Reward for reading text: Levenshtein similarity as the accuracy part, exact match as the accuracy."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Any

from rapidfuzz.distance import Levenshtein

from reward_fns._golds import as_texts
from reward_fns._options import OcrOptions
from reward_fns._score import score_response
from reward_fns._text import clean_characters
from reward_fns._verdict import Status, Verdict, verdict


def _normalise(text: str, options: OcrOptions) -> str | None:
    cleaned = clean_characters(text)
    if cleaned is None:
        return None
    if not cleaned.isascii():
        cleaned = unicodedata.normalize("NFKC", cleaned)
    if not options.case_sensitive:
        cleaned = cleaned.casefold()
    return ("" if options.ignore_spaces else " ").join(cleaned.split())


def check(
    answer: str,
    ground_truth: Any,
    options: OcrOptions | None = None,
    extra_info: Mapping[str, Any] | None = None,
) -> Verdict:
    r"""Compare a transcription with the ground truth, ignoring case, amount of white space and Unicode width.

    Similarity is ``1 - d / max(len)``, ``d`` the Levenshtein distance of the normalised texts (Levenshtein 1966);
    with ``similarity_threshold=0.5`` it is ANLS (Biten et al. 2019, arXiv 1905.13648, equation 1).

    Args:
        answer: Final answer, without its box; hostile. A ``\text{}`` around all of it is unwrapped.
        ground_truth: Text or number; a list holds alternatives, the best of which counts.
        options: Case, spaces and threshold.
        extra_info: Not used.

    Returns:
        The verdict; equal only if the normalised texts are the same.

    Raises:
        LipoError: The ground truth is empty or of an unknown type.

    Example:
        >>> check("K7XB", "K7XA").similarity
        0.75
    """
    options = options or OcrOptions()
    if answer.startswith("\\text{") and answer.endswith("}") and answer.count("{") == 1:
        answer = answer[len("\\text{") : -1]
    found = _normalise(answer, options)
    if not found:
        return verdict(Status.UNPARSED)
    best = 0.0
    for text in as_texts(ground_truth):
        gold = _normalise(text, options) or text
        if found == gold:
            return verdict(Status.EQUAL)
        best = max(best, Levenshtein.normalized_similarity(found, gold, score_cutoff=options.similarity_threshold))
    return Verdict(Status.DIFFERENT, best)


def compute_score(
    data_source: str, solution_str: str, ground_truth: Any, extra_info: dict[str, Any] | None = None, **kwargs: Any
) -> dict[str, Any]:
    r"""Score a response for verl: ``reward.custom_reward_function.path=pkg://reward_fns.ocr``.

    Args:
        data_source: Not used.
        solution_str: Decoded response of the policy.
        ground_truth: Text or number; a list holds alternatives.
        extra_info: Not used.
        **kwargs: Keys of :class:`reward_fns.OcrOptions`, from ``reward_kwargs``.

    Returns:
        ``score``, ``acc``, ``similarity``, ``format``, ``repetition``, ``unparsed``, ``timeout``, ``status``, ``pred``.

    Raises:
        LipoError: No ground truth, or an invalid setting.

    Example:
        >>> compute_score("ocr", "<think>K 7 X</think>\\boxed{K7X}", "K7X")["acc"]
        1.0
    """
    return score_response(check, OcrOptions, solution_str, ground_truth, extra_info, kwargs)
