"""``lipo eval``: accuracy and tokens of several models on several benchmarks."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Any, Self

import typer
from rich.console import Console
from rich.markup import escape

from lipo.cli._recipes import find_model, find_recipe, name_paths
from lipo.cli._storage import fetch, require_there
from lipo.common import LipoError, load_yaml, parse, with_overrides

if TYPE_CHECKING:
    from eval import EvalConfig, Progress, Results


def evaluate(
    recipe: Annotated[Path | None, typer.Argument(help="YAML file, such as recipes/tiny/eval.yaml.")] = None,
    overrides: Annotated[list[str] | None, typer.Argument(help="key=value, such as sampling.temperature=0.")] = None,
    model: Annotated[
        list[str] | None, typer.Option(help="Model directory, or LABEL=DIRECTORY; repeat it for further models.")
    ] = None,
    benchmarks: Annotated[
        list[str] | None, typer.Option(help="Benchmarks, separated by commas: names, files, or NAME=FILE.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Directory of answers and report; a second run continues.")] = None,
    baseline: Annotated[str | None, typer.Option(help="Label to compare with; the first model if not given.")] = None,
    samples: Annotated[int | None, typer.Option(help="Responses per question: avg@k, pass@k, maj@k.")] = None,
    temperature: Annotated[float | None, typer.Option(help="0 picks the most likely token.")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Longest response.")] = None,
    address: Annotated[str | None, typer.Option(help="Ray cluster, such as auto; a local Ray if not given.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check and show what would be evaluated only.")] = False,
) -> None:
    """Evaluate models with vLLM on Ray: accuracy with intervals, response length, report.html.

    With a recipe, or with flags: lipo eval --model A --model B --benchmarks mathvista,chartqa --out runs/eval.
    Stored answers are kept: the same command continues where it was interrupted.
    """
    words = [*([str(recipe)] if recipe else []), *(overrides or ())]
    if not words and not model:
        raise LipoError("Missing argument 'recipe'", "give a recipe, or --model, --benchmarks and --out")
    flags: dict[str, Any] = {"out": out, "baseline": baseline, "address": address}
    flags["models"] = name_paths(model, "models", "LABEL=DIRECTORY") if model else None
    flags["sampling"] = {"samples": samples, "temperature": temperature, "max_tokens": max_tokens}
    config = read_config(words, flags, [word for value in benchmarks or () for word in value.split(",") if word])
    console = Console()
    if dry_run:
        print_plan(config, console)
        return
    results = run_with_progress(config, console)
    finish(results, console)


def read_config(words: Sequence[str], flags: dict[str, Any], benchmarks: Sequence[str]) -> EvalConfig:
    """Combine recipe, flags and overrides; flags win over the recipe, overrides over both.

    Args:
        words: Positional arguments: a recipe, and overrides with ``=``.
        flags: Keys of :class:`eval.EvalConfig`, those of ``sampling`` in a mapping of their own; None where not given.
        benchmarks: Words of ``--benchmarks``.

    Raises:
        LipoError: Words that are none of these, or a config that is not valid.
    """
    from eval import EvalConfig
    from eval.benchmarks import select_benchmarks

    recipes = [word for word in words if "=" not in word]
    if len(recipes) > 1:
        raise LipoError(f"two recipes: {recipes[0]} and {recipes[1]}", "give one; repeat --model for several models")
    where, data = "the command line", dict[str, Any]()
    if recipes:
        where = recipes[0]
        data = dataclasses.asdict(load_yaml(EvalConfig, find_recipe(Path(where))))
    sampling = {key: value for key, value in flags["sampling"].items() if value is not None}
    data |= {key: value for key, value in flags.items() if value is not None and key != "sampling"}
    data["sampling"] = {**data.get("sampling", {}), **sampling}
    if flags["models"] and not flags["baseline"] and data.get("baseline") not in flags["models"]:
        data["baseline"] = next(iter(flags["models"]))
    if benchmarks:
        selected = select_benchmarks(benchmarks)
        data["benchmarks"] = {name: dataclasses.asdict(config) for name, config in selected.items()}
    data = with_overrides(data, [word for word in words if "=" in word])
    return find_inputs(parse(EvalConfig, data, where))


def find_inputs(config: EvalConfig) -> EvalConfig:
    """Resolve models and questions that are URLs or come with the package.

    Raises:
        LipoError: Something else is a URL, or a copy fails.
    """
    from eval.config import check_config

    check_config(config)
    sources = [benchmark.source for benchmark in config.benchmarks.values() if benchmark.source]
    require_there([*config.models.values(), *sources])
    models = {label: find_model(path) for label, path in config.models.items()}
    benchmarks = {
        name: dataclasses.replace(benchmark, source=fetch(benchmark.source) if benchmark.source else None)
        for name, benchmark in config.benchmarks.items()
    }
    return dataclasses.replace(config, models=models, benchmarks=benchmarks)


def print_plan(config: EvalConfig, console: Console) -> None:
    """Check an evaluation and show what it would do; no question is read.

    Raises:
        LipoError: Something is wrong with the configuration, or a model or a benchmark's file is missing.
    """
    from eval import check
    from eval.benchmarks import resolve_benchmark

    check(config)
    for label, path in config.models.items():
        console.print(f"model {label}: {path}", markup=False, highlight=False, soft_wrap=True)
    for name, given in config.benchmarks.items():
        found = resolve_benchmark(name, given, config.data_dir)
        text = f"benchmark {name}: {found.source or found.hub}, scored by {found.scorer or 'its declaration'}"
        console.print(text, markup=False, highlight=False, soft_wrap=True)
    console.print("Nothing was started or written.", highlight=False)


def finish(results: Results, console: Console) -> None:
    """Write the report and print the results."""
    from eval.report import write_report

    print_results(results, write_report(results, results.config.out), console)


def print_results(results: Results, report: Path, console: Console) -> None:
    """Print the table, the verdicts on the claims, and where the report is."""
    from eval import table

    console.print(table(results))
    for model, benchmarks in results.published.items():
        for name, scores in benchmarks.items():
            text = ", ".join(f"{key} {value:.4g}" for key, value in scores.items())
            console.print(f"{model} on {name}, as published: {text}", markup=False, highlight=False)
    for verdict in results.claims:
        word = "[green]held[/]" if verdict.held else "[red]not held[/]"
        console.print(f"{word}: {escape(verdict.text)}\n      {escape(verdict.explanation)}", highlight=False)
    console.print(f"report: {escape(str(report))}", highlight=False, soft_wrap=True)


def run_with_progress(config: EvalConfig, console: Console) -> Results:
    """Run an evaluation with a bar per model and benchmark, or plain lines where the output is no terminal."""
    import eval as evaluation

    with show_progress(console) as update:
        return evaluation.run(config, update)


@contextmanager
def show_progress(console: Console) -> Iterator[Callable[[Progress], None]]:
    """Yield a function that shows what :func:`eval.run` and :func:`eval.score` report."""
    with _Display(console) as display:
        yield display.update


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
        pair, now = (progress.model, _place(progress)), time.monotonic()
        label = f"{progress.model} {_place(progress)}"
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
            line = f"{progress.model} {_place(progress)}: {state}"
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)


def _place(progress: Progress) -> str:
    return f"on {progress.benchmark}" + (", judged" if progress.judging else "")
