"""Renders ``report.md``."""

from __future__ import annotations

from collections.abc import Sequence

from eval.claims import Verdict
from eval.report._prompts import example_prompts
from eval.results import Cell, Comparison, Results
from eval.statistics import Estimate


def render_markdown(results: Results, verdicts: Sequence[Verdict], title: str) -> str:
    """Render tables, claims and the lines for model cards as Markdown.

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
        f"Baseline: {_escape(config.baseline)}. {s.samples} response(s) per item, temperature {s.temperature:g}, "
        f"top-p {s.top_p:g}, at most {s.max_tokens} tokens, seed {s.seed}. Brackets: 95 % intervals.",
        "",
    ]
    if verdicts:
        lines += ["## Claims", ""]
        lines += [f"- **{verdict_word(v)}**: {_escape(v.text)}. {_escape(v.explanation)}." for v in verdicts] + [""]
    lines += ["## Overview", "", *_overview(results)]
    for name in config.benchmarks:
        lines += ["", f"## {_escape(name)} ({len(results.items[name])} items)", "", *_benchmark(results, name)]
    lines += ["", "## Prompts", "", *_prompts(results)]
    lines += ["## For a model card", ""]
    lines += [f"- {_escape(card_line(results, model))}" for model in config.models]
    return "\n".join(lines) + "\n"


def card_line(results: Results, model: str) -> str:
    """Sum up a model in one line for its card.

    Returns:
        E.g. ``merged: accuracy 61.2 % [58.0, 64.3] at 48 tokens, average over math, ocr (800 items); against base
        +0.5 points [-1.2, +2.2] and 42.1 % fewer tokens [39.5, 44.6]; 1 response, temperature 1, at most 1024 tokens``.
    """
    config, average = results.config, results.averages[model]
    items = sum(cell.items for cell in results.cells[model].values())
    where = (
        f"average over {', '.join(config.benchmarks)}" if len(config.benchmarks) > 1 else next(iter(config.benchmarks))
    )
    line = (
        f"{model}: accuracy {_percent(average.accuracy)} at {average.tokens.value:.0f} tokens, {where} ({items} items)"
    )
    comparison = results.comparisons.get(model, {}).get("average")
    if comparison:
        line += f"; against {config.baseline} {_points(comparison.accuracy_difference, ' points')}"
        line += f" and {_reduction(comparison)} fewer tokens" if comparison.token_ratio else ""
    s = config.sampling
    plural = "s" if s.samples > 1 else ""
    return (
        f"{line}; {s.samples} response{plural} per item, temperature {s.temperature:g}, at most {s.max_tokens} tokens"
    )


def verdict_word(verdict: Verdict) -> str:
    """Say how a claim fared."""
    if not verdict.held:
        return "not held"
    return "held, intervals included" if verdict.confirmed else "held"


def _overview(results: Results) -> list[str]:
    """One row per model, one column per benchmark, and the average."""
    rows = []
    for model in results.config.models:
        cells = [results.cells[model][name] for name in results.config.benchmarks]
        texts = [f"{100 * c.accuracy.value:.1f} % · {c.tokens.mean.value:.0f} tokens" for c in cells]
        average = results.averages[model]
        rows.append([model, *texts, f"{100 * average.accuracy.value:.1f} % · {average.tokens.value:.0f} tokens"])
    return _table(["model", *results.config.benchmarks, "average"], rows)


def _benchmark(results: Results, name: str) -> list[str]:
    """Figures of every model on a benchmark, and by category."""
    config = results.config
    cells = {model: results.cells[model][name] for model in config.models}
    lines = _table(
        [
            "model",
            "accuracy",
            "against baseline",
            "tokens",
            "median",
            "p90",
            "reduction",
            "unparsed",
            "truncated",
            "errors",
        ],
        [_figures(model, cell, results.comparisons.get(model, {}).get(name)) for model, cell in cells.items()],
    )
    header = ["model", "reasoning tokens", "answer tokens", "tokens per right answer", "reflections"]
    rows = [[model, *_lengths(cell)] for model, cell in cells.items()]
    some = next(iter(cells.values()))
    if some.majority:
        header += [*(f"pass@{k}" for k in some.pass_at if k != "1"), f"maj@{config.sampling.samples}"]
        for row, cell in zip(rows, cells.values(), strict=True):
            row += [_percent(e) for k, e in cell.pass_at.items() if k != "1"]
            row += [_percent(cell.majority) if cell.majority else "–"]
    if config.judge:
        header += ["judge", "judge unclear"]
        for row, cell in zip(rows, cells.values(), strict=True):
            row += [_percent(cell.judge) if cell.judge else "–", str(cell.judge_unclear)]
    lines += ["", *_table(header, rows)]
    for group, values in results.breakdowns[config.baseline][name].items():
        found = {model: results.breakdowns[model][name][group] for model in config.models}
        rows = [
            [
                value,
                str(cell.items),
                *(f"{_percent(v[value].accuracy)} · {v[value].tokens.mean.value:.0f}" for v in found.values()),
            ]
            for value, cell in values.items()
        ]
        lines += ["", *_table([group, "items", *(f"{model}: accuracy · tokens" for model in config.models)], rows)]
    return lines


def _prompts(results: Results) -> list[str]:
    """An example of each; every line is indented, so nothing in a text is read as markup."""
    lines: list[str] = []
    for name, scorer, item in example_prompts(results):
        about = f"{name}, row {item.index}, before the model's own chat template (scorer: {scorer}):"
        texts = "\n".join(f"{role}: {text}" for role, text in item.messages)
        lines += [_escape(about), "", *(f"    {line}" for line in texts.splitlines()), ""]
    return lines


def _figures(model: str, cell: Cell, comparison: Comparison | None) -> list[str]:
    difference = _points(comparison.accuracy_difference) if comparison else "–"
    t = cell.tokens
    limits = f"{t.mean.low:.1f}, {t.mean.high:.1f}" if t.mean.bounded else "–"
    tokens = f"{t.mean.value:.1f} [{limits}]"
    counts = [str(cell.unparsed), str(cell.truncated), str(cell.errors)]
    reduction = _reduction(comparison)
    return [model, _percent(cell.accuracy), difference, tokens, f"{t.median:.0f}", f"{t.p90:.0f}", reduction, *counts]


def _lengths(cell: Cell) -> list[str]:
    means = [f"{part.mean.value:.1f}" for part in (cell.reasoning, cell.answer)]
    spent = "–" if cell.tokens_per_correct is None else f"{cell.tokens_per_correct:.0f}"
    return [*means, spent, f"{cell.reflections:.2f}"]


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [
        "| " + " | ".join(map(_escape_cell, header)) + " |",
        "|---" * len(header) + "|",
        *("| " + " | ".join(map(_escape_cell, row)) + " |" for row in rows),
    ]


def _percent(e: Estimate) -> str:
    return f"{100 * e.value:.1f} % [{100 * e.low:.1f}, {100 * e.high:.1f}]"


def _points(e: Estimate, unit: str = "") -> str:
    return f"{100 * e.value:+.1f}{unit} [{100 * e.low:+.1f}, {100 * e.high:+.1f}]"


def _reduction(comparison: Comparison | None) -> str:
    if comparison is None or comparison.token_ratio is None:
        return "–"
    ratio = comparison.token_ratio
    limits = f"{100 * (1 - ratio.high):.1f}, {100 * (1 - ratio.low):.1f}" if ratio.bounded else "–"
    return f"{100 * (1 - ratio.value):.1f} % [{limits}]"


def _escape_cell(text: str) -> str:
    """Escape names, which may hold anything; figures keep their brackets."""
    return text if text[:1] in "0123456789+-–" and set(text) <= _FIGURE else _escape(text)


_FIGURE = set("0123456789+-–.,%[] ·")


def _escape(text: str) -> str:
    """Keep text from being read as markup or HTML."""
    for character in "\\`*_{}[]<>|#":
        text = text.replace(character, "\\" + character)
    return " ".join(text.split())
