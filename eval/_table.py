"""The results as a table for the terminal."""

from __future__ import annotations

from rich.markup import escape
from rich.table import Table

from eval.results import Results


def table(results: Results) -> Table:
    """Tabulate accuracy (± half the 95 % interval, in points) and mean tokens per model and benchmark.

    Args:
        results: From :func:`eval.run`.

    Returns:
        A rich table; ``rich.print`` shows it.
    """
    config = results.config
    output = Table(title=f"{escape(config.title)}: accuracy in % (± 95 %) and mean response tokens", show_lines=True)
    output.add_column("model")
    for name in config.benchmarks:
        output.add_column(escape(name), justify="right")
    output.add_column("average", justify="right", style="bold")
    for model in config.models:
        cells = [results.cells[model][name] for name in config.benchmarks]
        texts = []
        for cell in cells:
            half = 50 * (cell.accuracy.high - cell.accuracy.low)
            texts.append(f"{100 * cell.accuracy.value:.1f} ±{half:.1f}\n{cell.tokens.mean.value:.0f} tokens")
        average = results.averages[model]
        summary = f"{100 * average.accuracy.value:.1f}\n{average.tokens.value:.0f} tokens"
        if model != config.baseline:
            ratio = results.comparisons[model]["average"].token_ratio
            summary += f" ({100 * (ratio.value - 1):+.0f} %)" if ratio else ""
        output.add_row(escape(model), *texts, summary)
    return output
