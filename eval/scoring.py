"""Judges stored answers with the checks of :mod:`reward_fns`; needs no model."""

from __future__ import annotations

import functools
import importlib
import json
import pkgutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import reward_fns
from eval._keys import Sample
from eval.config import BenchmarkConfig
from eval.store import Answer
from lipo.common import LipoError, atomic_write


class Scorer(Protocol):
    """verl's ``compute_score``."""

    def __call__(
        self, data_source: str, solution_str: str, ground_truth: Any, extra_info: dict[str, Any] | None, **kwargs: Any
    ) -> dict[str, Any]:
        """Score one response."""


@dataclass(frozen=True)
class ScoredAnswer:
    """One response and what the check says of it."""

    key: str
    item: int
    sample: int
    correct: float
    """Accuracy of the response in [0, 1]; 0 for errors and unparsed answers, never a guess."""
    status: str
    """The check's word: ``equal``, ``different``, ``unparsed``, …; ``error`` where there is no response to judge."""
    well_formed: bool
    """Whether the response keeps the required format."""
    truncated: bool
    """Whether the token limit cut it."""
    tokens: int
    reasoning_tokens: int
    """Those up to ``</think>``."""
    response: str
    prediction: str
    """The final answer found in the response."""
    error: str | None
    judge: str | None = None
    """The judge model's verdict: ``right``, ``wrong`` or ``unclear``; None where it was not asked."""
    reflections: int = 0
    """Self-corrections in the response that change the answer, see :func:`reward_fns.find_reflections`."""


@functools.cache
def _public_modules() -> list[str]:
    return [m.name for m in pkgutil.iter_modules(reward_fns.__path__) if not m.name.startswith("_")]


def find_scorer(name: str) -> Scorer:
    """Find ``reward_fns.<name>.compute_score``.

    Raises:
        LipoError: No public module of that name has it.
    """
    public = _public_modules()
    if name in public:
        function = getattr(importlib.import_module(f"reward_fns.{name}"), "compute_score", None)
        if function is not None:
            return function
    raise LipoError(f"no scorer '{name}'", f"use one of {', '.join(public)}")


def score_answers(samples: Iterable[Sample], answers: dict[str, Answer], config: BenchmarkConfig) -> list[ScoredAnswer]:
    """Judge the answers to ``samples``.

    Args:
        samples: What was asked.
        answers: By key, from :class:`eval.store.AnswerStore`; every sample must have one.
        config: Names the scorer.

    Returns:
        One row per sample, in order.

    Raises:
        LipoError: Unknown scorer, or it rejects its options.
    """
    return [_score(sample, answers[sample.key], config) for sample in samples]


def _score(sample: Sample, answer: Answer, config: BenchmarkConfig) -> ScoredAnswer:
    item, verdict, error = sample.item, {}, answer.error
    # A benchmark may judge its questions by several scorers: each item then names its own.
    scorer = find_scorer(item.scorer or config.scorer or "auto")
    options = item.scorer_options if item.scorer else config.scorer_options
    if error is None:
        try:
            verdict = scorer(item.data_source, answer.response, item.ground_truth, item.extra_info, **options)
        except LipoError:
            raise
        # A check that trips over one hostile answer must not end the evaluation; the row says so.
        except Exception as problem:
            error = f"the scorer failed: {type(problem).__name__}: {problem}"[:500]
    return ScoredAnswer(
        key=sample.key,
        item=item.index,
        sample=sample.number,
        correct=float(verdict.get(config.measure or "acc", 0.0)),
        status="error" if error else str(verdict.get("status", "")),
        well_formed=bool(verdict.get("format", False)),
        truncated=answer.finish == "length",
        tokens=answer.tokens,
        reasoning_tokens=answer.reasoning_tokens,
        response=answer.response,
        prediction=str(verdict.get("pred", "")),
        error=error,
        reflections=0 if error else len(reward_fns.find_reflections(answer.response)),
    )


def write_scores(path: Path, rows: Iterable[ScoredAnswer]) -> None:
    """Write scored answers as JSONL, whole or not at all; replaces an older scoring."""
    with atomic_write(path) as file:
        for row in rows:
            # vars, not asdict, which copies deeply and takes longer than the scoring.
            file.write(json.dumps(vars(row)) + "\n")
