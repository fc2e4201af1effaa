"""``lipo data``: what benchmark data there is, whether it is in order, and how to get it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from lipo.cli._storage import fetch as copy_here
from lipo.common import LipoError

if TYPE_CHECKING:
    from eval.benchmarks.check import DataReport

data = typer.Typer(help="List, check and download benchmark data.", no_args_is_help=True)
_DataDir = Annotated[Path | None, typer.Option(help="Folder of benchmark data; $LIPO_DATA or data by default.")]
_SHOWN_ROWS, _SHOWN_CATEGORIES = 10, 12


@data.command("list")
def list_benchmarks(data_dir: _DataDir = None) -> None:
    """List the declared benchmarks and where their data is."""
    from rich.table import Column, Table

    from eval.benchmarks import benchmark_names, data_directory, data_places, find_declaration

    table = Table(Column("benchmark", no_wrap=True), "title", "data")
    for name in benchmark_names():
        benchmark = find_declaration(name)
        places = data_places(name, benchmark, data_directory(data_dir))
        there = next((str(place) for place in places if place.exists()), "")
        absent = "to be fetched" if benchmark.tsv or benchmark.hub else "any file"
        table.add_row(name, benchmark.title, escape(there) or f"[dim]{absent}[/]")
    Console().print(table)


@data.command("check")
def check(
    what: Annotated[str, typer.Argument(help="Declared benchmark, or a file or folder, also a URL.")],
    declaration: Annotated[
        str | None, typer.Option(help="Declared benchmark, or YAML file, to read the file with.")
    ] = None,
    split: Annotated[str | None, typer.Option(help="Split of a Hugging Face dataset.")] = None,
    limit: Annotated[int | None, typer.Option(help="Look at the first so many rows only.", min=1)] = None,
    image_root: Annotated[
        Path | None, typer.Option(help="Folder that paths of images and videos must stay in.")
    ] = None,
    data_dir: _DataDir = None,
) -> None:
    """Check data before an evaluation: columns, images, videos, right answers; exit status 1 if rows cannot be used."""
    from dataclasses import replace

    from rich.progress import Progress

    from eval.benchmarks import data_directory, resolve_benchmark, select_benchmarks
    from eval.benchmarks.check import check_data
    from eval.config import BenchmarkConfig
    from eval.sources import ClipReader

    console = Console()
    if declaration is None:
        ((name, config),) = select_benchmarks([what]).items()
    else:
        name, config = Path(declaration).stem, BenchmarkConfig(source=Path(what), declaration=declaration)
    config = resolve_benchmark(name, config, data_dir)
    config = replace(config, source=copy_here(config.source) if config.source else None)
    config = replace(config, split=split or config.split, limit=limit, image_root=image_root)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        row = bar.add_task("checking", total=None)
        clips = ClipReader(data_directory(data_dir) / "frames")
        report = check_data(name, config, lambda done, rows: bar.update(row, completed=done, total=rows), clips)
    print_report(report, console)
    if report.problems:
        raise typer.Exit(1)


def print_report(report: DataReport, console: Console) -> None:
    """Print what was found, problems last."""
    per_row = ", ".join(f"{n} in {rows} rows" for n, rows in sorted(report.images_per_row.items()))
    formats = ", ".join(f"{count} {kind}" for kind, count in report.formats.most_common())
    lines = [
        f"rows: {report.rows}",
        f"images: {report.images} distinct ({formats or 'none'}), {report.bytes_of_images / 1e6:.1f} MB; {per_row}",
    ]
    if report.videos:
        lines.append(f"videos: {report.videos} distinct")
    if report.formats:
        (w0, w1, w2), (h0, h1, h2) = report.widths, report.heights
        lines.append(f"size in pixels, smallest, median, largest: width {w0}, {w1}, {w2}; height {h0}, {h1}, {h2}")
    lines.append("answers: " + ", ".join(f"{count} {kind}" for kind, count in report.answers.most_common()))
    for name, categories in report.groups.items():
        shown = ", ".join(f"{c} {n}" for c, n in categories.most_common(_SHOWN_CATEGORIES))
        more = len(categories) - _SHOWN_CATEGORIES
        lines.append(f"{name}: {shown}{f' and {more} more' if more > 0 else ''}")
    if not report.problems:
        lines.append("no problems")
    for problem, rows in sorted(report.problems.items(), key=lambda pair: -len(pair[1])):
        shown = ", ".join(map(str, rows[:_SHOWN_ROWS])) + (", …" if len(rows) > _SHOWN_ROWS else "")
        lines.append(f"problem in {len(rows)} rows: {problem}; rows {shown}")
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


@data.command("fetch")
def fetch(
    names: Annotated[list[str], typer.Argument(help="Declared benchmarks.")],
    data_dir: _DataDir = None,
    origin: Annotated[
        str | None,
        typer.Option("--from", help="tsv (VLMEvalKit) or hub (Hugging Face); the first declared by default."),
    ] = None,
) -> None:
    """Download benchmark data, with checksums; interrupted, the same command continues."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    from eval.benchmarks import data_directory, find_declaration
    from eval.benchmarks.fetch import fetch_benchmark

    if origin not in (None, "tsv", "hub"):
        raise LipoError(f"--from is '{origin}'", "use tsv or hub")
    for name in names:
        find_declaration(name)
    console = Console()
    for name in names:
        columns = (TextColumn(name), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
            row = bar.add_task(name, total=None)
            path = fetch_benchmark(
                name,
                data_directory(data_dir),
                origin,
                lambda done, total, bar=bar, row=row: bar.update(row, completed=done, total=total or None),  # type: ignore[misc]
            )
        console.print(f"{name}: {path}", markup=False, highlight=False, soft_wrap=True)
