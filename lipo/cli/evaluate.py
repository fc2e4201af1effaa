"""``lipo eval``: accuracy and tokens of several models on several benchmarks."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Self

import typer
from rich.console import Console
from rich.markup import escape

from lipo.cli._recipes import find_model, find_recipe

if TYPE_CHECKING:
    from eval import EvalConfig, Progress, Results


def evaluate(
    recipe: Annotated[Path, typer.Argument(help="YAML file, such as recipes/tiny/eval.yaml.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="key=value, such as sampling.temperature=0.")] = None,
) -> None:
    """Evaluate models with vLLM on Ray: accuracy with intervals, response length, report.html.

    Stored answers are kept: the same command continues where it was interrupted.
    """
    from eval import EvalConfig
    from eval.report import write_report
    from lipo.common import load_yaml

    config = load_yaml(EvalConfig, find_recipe(recipe), overrides or [])
    config = replace(config, models={label: find_model(path) for label, path in config.models.items()})
    console = Console()
    results = run_with_progress(config, console)
    print_results(results, write_report(results, config.out), console)


def print_results(results: Results, report: Path, console: Console) -> None:
    """Print the table, the verdicts on the claims, and where the report is."""
    from eval import table

    console.print(table(results))
    for verdict in results.claims:
        word = "[green]held[/]" if verdict.held else "[red]not held[/]"
        console.print(f"{word}: {escape(verdict.text)}\n      {escape(verdict.explanation)}", highlight=False)
    console.print(f"report: {escape(str(report))}", highlight=False, soft_wrap=True)


def run_with_progress(config: EvalConfig, console: Console) -> Results:
    """Run an evaluation with a bar per model and benchmark, or plain lines where the output is no terminal."""
    import eval as evaluation

    with _Display(console) as display:
        return evaluation.run(config, display.update)


class _Display:
    """Shows progress; a line per model and benchmark every few seconds without a terminal."""

    _SECONDS_PER_LINE = 5.0

    def __init__(self, console: Console) -> None:
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            SpinnerColumn,
            TextColumn,
            TimeElapsedColumn,
        )

        self._console = console
        self._bars = Progress(
            SpinnerColumn(finished_text="✓"),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[pace]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._tasks: dict[tuple[str, str], int] = {}
        self._begun: dict[tuple[str, str], float] = {}
        self._printed: dict[tuple[str, str], float] = {}

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def update(self, progress: Progress) -> None:
        """Take the news of :func:`eval.run`."""
        pair, now = (progress.model, progress.benchmark), time.monotonic()
        label = f"{progress.model} on {progress.benchmark}"
        if pair not in self._tasks:
            self._tasks[pair] = self._bars.add_task(escape(label), total=progress.total, start=False, pace="")
        task = self._bars.tasks[self._tasks[pair]]
        pace = "vLLM is loading" if progress.loading else ""
        if progress.loading or (progress.new_tokens and pair not in self._begun):
            self._begun[pair] = now
            self._bars.start_task(task.id)
        elif progress.new_tokens and now > self._begun[pair]:
            pace = f"{progress.new_tokens / (now - self._begun[pair]):.0f} tokens/s"
        self._bars.update(task.id, completed=progress.done, pace=pace)
        if not self._console.is_terminal:
            self._print_line(pair, progress, now)

    def _print_line(self, pair: tuple[str, str], progress: Progress, now: float) -> None:
        due = now - self._printed.get(pair, -self._SECONDS_PER_LINE) >= self._SECONDS_PER_LINE
        if due or progress.loading or progress.done == progress.total:
            self._printed[pair] = now
            state = "vLLM is loading" if progress.loading else f"{progress.done}/{progress.total} answers"
            line = f"{progress.model} on {progress.benchmark}: {state}"
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)
