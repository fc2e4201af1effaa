"""Renders ``report.md``."""

from __future__ import annotations

from collections.abc import Sequence

from eval.claims import Verdict
from eval.results import Cell, Comparison, Results
from eval.statistics import Estimate

_HEADER = "| model | accuracy | against baseline | tokens | median | p90 | reduction | unparsed | truncated | errors |"


def render_markdown(results: Results, verdicts: Sequence[Verdict], title: str) -> str:
    """Render tables and claims as Markdown.

    Args:
        results: Figures.
        verdicts: Judged claims.
        title: Heading.

    Returns:
        The document.
    """
    config = results.config
    s = config.sampling
    lines = [f"# {_escape(title)}", ""]
    lines += [
        f"Baseline: {config.baseline}. {s.samples} response(s) per item, temperature {s.temperature:g}, "
        f"top-p {s.top_p:g}, at most {s.max_tokens} tokens, seed {s.seed}. Brackets: 95 % intervals.",
        "",
    ]
    if verdicts:
        lines += ["## Claims", ""]
        lines += [f"- **{verdict_word(v)}**: {_escape(v.text)}. {_escape(v.explanation)}." for v in verdicts] + [""]
    lines += ["## Overview", "", "| model | " + " | ".join(config.benchmarks) + " | average |"]
    lines += ["|---" * (len(config.benchmarks) + 2) + "|"]
    for model in config.models:
        cells = [results.cells[model][name] for name in config.benchmarks]
        texts = [f"{100 * c.accuracy.value:.1f} % · {c.tokens.mean.value:.0f} tokens" for c in cells]
        average = results.averages[model]
        texts.append(f"{100 * average.accuracy.value:.1f} % · {average.tokens.value:.0f} tokens")
        lines.append(f"| {model} | " + " | ".join(texts) + " |")
    for name in config.benchmarks:
        lines += ["", f"## {name} ({len(results.items[name])} items)", ""]
        lines += [
            "| model | accuracy | against baseline | tokens | median | p90 | reduction | unparsed | cut | errors |"
        ]
        lines += ["|---" * 10 + "|"]
        for model in config.models:
            comparison = results.comparisons.get(model, {}).get(name)
            lines.append(_row(model, results.cells[model][name], comparison))
    return "\n".join(lines) + "\n"


def verdict_word(verdict: Verdict) -> str:
    """Say how a claim fared."""
    if not verdict.held:
        return "not held"
    return "held, intervals included" if verdict.confirmed else "held"


def _row(model: str, cell: Cell, comparison: Comparison | None) -> str:
    difference = reduction = "–"
    if comparison is not None:
        difference = _points(comparison.accuracy_difference)
        ratio = comparison.token_ratio
        if ratio is not None:
            reduction = f"{100 * (1 - ratio.value):.1f} % [{100 * (1 - ratio.high):.1f}, {100 * (1 - ratio.low):.1f}]"
    a, t = cell.accuracy, cell.tokens.mean
    accuracy = f"{100 * a.value:.1f} % [{100 * a.low:.1f}, {100 * a.high:.1f}]"
    tokens = f"{t.value:.1f} [{t.low:.1f}, {t.high:.1f}]"
    columns = [model, accuracy, difference, tokens, f"{cell.tokens.median:.0f}", f"{cell.tokens.p90:.0f}", reduction]
    return "| " + " | ".join([*columns, str(cell.unparsed), str(cell.truncated), str(cell.errors)]) + " |"


def _points(e: Estimate) -> str:
    return f"{100 * e.value:+.1f} [{100 * e.low:+.1f}, {100 * e.high:+.1f}]"


def _escape(text: str) -> str:
    """Keep text from being read as markup or HTML."""
    for character in "\\`*_{}[]<>|#":
        text = text.replace(character, "\\" + character)
    return " ".join(text.split())
