"""Chooses the questions that show in the reports what the models were asked."""

from __future__ import annotations

from eval.results import Results
from eval.sources import Item


def example_prompts(results: Results) -> list[tuple[str, str, Item]]:
    """Return the first question of every kind: a declaration words its prompt by what its scorer needs.

    Returns:
        Benchmark, scorer, question; in the order of the benchmarks and of their questions.
    """
    found: dict[tuple[str, str], Item] = {}
    for name, benchmark in results.config.benchmarks.items():
        for item in results.items[name]:
            if not item.error:
                found.setdefault((name, item.scorer or benchmark.scorer or "auto"), item)
    return [(name, scorer, item) for (name, scorer), item in found.items()]
