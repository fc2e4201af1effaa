"""The tables of docs/benchmarks.md, made from the declarations."""

from __future__ import annotations

from eval.benchmarks._resolve import benchmark_names, find_declaration
from eval.benchmarks.declaration import Benchmark


def benchmark_table() -> str:
    """Describe every declared benchmark in a row of a Markdown table."""
    lines = ["| name | benchmark | asks | score | scorers | by | data |", "|---|---|---|---|---|---|---|"]
    for name in benchmark_names():
        benchmark = find_declaration(name)
        title = f"{benchmark.title} ([{benchmark.paper}](https://arxiv.org/abs/{benchmark.paper}))"
        scorers = ", ".join(dict.fromkeys(f"`{rule.use}`" for rule in benchmark.scorers))
        cells = [
            f"`{name}`",
            title if benchmark.paper else benchmark.title,
            benchmark.about,
            benchmark.metric,
            scorers,
            ", ".join(benchmark.groups) or "–",
            _data(benchmark),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _data(benchmark: Benchmark) -> str:
    places = [f"`{benchmark.tsv.file}`"] if benchmark.tsv else []
    if benchmark.hub:
        subset = f" {benchmark.hub.subset}" if benchmark.hub.subset else ""
        places.append(f"`{benchmark.hub.name}`{subset} {benchmark.hub.split}")
    return ", ".join(places) or "any file"


def differences() -> str:
    """List how the scores differ from published ones, and why, as Markdown."""
    lines: list[str] = []
    for name in benchmark_names():
        benchmark = find_declaration(name)
        if benchmark.differences:
            lines += ["", f"**{benchmark.title}** (`{name}`)", "", *(f"- {text}" for text in benchmark.differences)]
    return "\n".join(lines[1:])
