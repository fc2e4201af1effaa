"""The results as a table for the terminal."""

from __future__ import annotations

from rich.markup import escape
from rich.table import Table

from eval.results import Results
from eval.statistics import Estimate


def table(results: Results) -> Table:
    """Tabulate accuracy (± half the 95 % interval, in points) and mean tokens per model and benchmark.

    With several samples pass@k and maj@k, with a judge its share of right answers follow.

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
            lines = [_share(cell.accuracy), f"{cell.tokens.mean.value:.0f} tokens"]
            if cell.majority:
                k = config.sampling.samples
                lines += [f"pass@{k} {_share(cell.pass_at[str(k)])}", f"maj@{k} {_share(cell.majority)}"]
            if cell.judge:
                lines.append(f"judge {_share(cell.judge)}")
            texts.append("\n".join(lines))
        average = results.averages[model]
        summary = f"{_share(average.accuracy)}\n{average.tokens.value:.0f} tokens"
        if model != config.baseline:
            ratio = results.comparisons[model]["average"].token_ratio
            summary += f" ({100 * (ratio.value - 1):+.0f} %)" if ratio else ""
        output.add_row(escape(model), *texts, summary)
    return output


def _share(e: Estimate) -> str:
    return f"{100 * e.value:.1f} ±{50 * (e.high - e.low):.1f}"
