"""From a benchmark's configuration to its questions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from eval.benchmarks import data_directory, find_declaration, resolve_benchmark
from eval.benchmarks.declaration import Benchmark
from eval.config import BenchmarkConfig
from eval.sources._clips import Clip, ClipReader, ClipSource, locate_verl
from eval.sources._columns import look_up
from eval.sources._declared import DeclaredReader
from eval.sources._image_column import OtherRow, read_images
from eval.sources._images import ImageStore, StoredImages
from eval.sources._rows import BadRow, Row, guess_format, stream_rows
from eval.sources._verl import COLUMNS, FORMAT_HELP, read_verl_row
from eval.sources.item import Item
from lipo.common import LipoError


def read_items(name: str, config: BenchmarkConfig, clips: ClipReader | None = None) -> list[Item]:
    """Read the questions of a benchmark.

    A row whose image is absent, whose video is missing or broken, whose prompt is malformed or whose right answer its
    scorer refuses becomes an item with ``error`` set; a file that lacks a column, or has no row that can be asked, is
    refused as a whole. Images stay on disk beyond some hundred megabytes, frames always.

    Args:
        name: Of the benchmark, for messages, and for its declaration where ``config`` names none.
        config: Where it is and how it is read.
        clips: Decodes videos; None for the usual settings, and a folder ``frames`` in that of benchmark data.

    Returns:
        Items in the file's order; ``index`` is the row number in the file.

    Raises:
        LipoError: No such file, not readable, no rows, a needed column is missing, or every row is in error.
    """
    config = resolve_benchmark(name, config)
    benchmark = find_declaration(config.declaration) if config.declaration else None
    source, kind = locate(name, config)
    hub = benchmark.hub if benchmark else None
    rows = stream_rows(source, kind, config.split, hub.split if hub else None, hub.subset if hub else None)
    layout = _declared_layout(benchmark, name, config.mode) if benchmark else _verl_layout()
    clips = clips or ClipReader(data_directory() / "frames")
    same_columns = kind not in ("json", "jsonl")
    items = [_checked(item, config) for item in _read(rows, layout, config, source, same_columns, clips)]
    if not items:
        raise LipoError(f"{source} has no rows", "give at least one question")
    if all(item.error for item in items):
        raise LipoError(f"no row of {source} can be used; the first: {items[0].error}", layout.help)
    return items


def locate(name: str, config: BenchmarkConfig) -> tuple[Path, str]:
    """Find out where a benchmark's questions are, and in which format; the Hub is not asked.

    Args:
        name: Of the benchmark, for the message.
        config: From :func:`eval.benchmarks.resolve_benchmark`.

    Returns:
        File or folder, or a name on the Hub, and the format.

    Raises:
        LipoError: No such file, or its format cannot be told.
    """
    if config.source is None:
        return Path(config.hub or name), "huggingface"
    if not config.source.exists():
        raise LipoError(f"benchmark '{name}' has no file at {config.source}", "create it or correct 'source'")
    return config.source, config.format or guess_format(config.source)


_NUMBERED = tuple(f"image_{i}" for i in range(1, 21))
"""Of tables with a column per image, such as MMMU's."""


@dataclass(frozen=True)
class _Layout:
    """How rows become items."""

    needed: Sequence[Sequence[str]]
    """Of each, one column must be there."""
    image: Sequence[str]
    dropped: Sequence[str]
    """Columns that no question is made of once the images are in the store: rows are kept, and these are large."""
    index: Sequence[str]
    wants: Callable[[Row], bool]
    locate: Callable[[Mapping[str, Any], Path], ClipSource | None]
    """Finds a row's video."""
    read: Callable[[Mapping[str, Any], int, Sequence[bytes], str | None, Clip | None], Item]
    help: str


def _verl_layout() -> _Layout:
    needed, image = [[c] for c in COLUMNS], ["images"]
    dropped = [*image, *_NUMBERED]
    return _Layout(needed, image, dropped, [], lambda row: True, locate_verl, read_verl_row, FORMAT_HELP)


def _declared_layout(benchmark: Benchmark, name: str, mode: str | None) -> _Layout:
    reader, columns = DeclaredReader(benchmark, name, mode), benchmark.columns
    help_text = f"see the columns of {benchmark.title} in docs/benchmarks.md, and run 'lipo data check'"
    image = [] if benchmark.video else columns.image
    # A prompt may ask whether there is a second image.
    dropped = [*image, *(name for name in _NUMBERED if name not in str(benchmark))]
    return _Layout([columns.answer], image, dropped, columns.index, reader.wants, reader.locate, reader.read, help_text)


@dataclass
class _Pending:
    """A row whose images may still be another row's."""

    row: Row
    index: int
    images: list[int | OtherRow]
    error: str | None
    clip: ClipSource | None = None


def _read(
    rows: Iterator[Row], layout: _Layout, config: BenchmarkConfig, source: Path, same_columns: bool, clips: ClipReader
) -> Iterator[Item]:
    store = ImageStore()
    root = config.image_root or (source if source.is_dir() else source.parent)
    pending: list[_Pending] = []
    shared: dict[str, list[int]] = {}
    for number, row in enumerate(rows):
        if number == 0 and same_columns:
            _require_columns(row, layout, source)
        full = config.limit is not None and len(pending) >= config.limit
        if full and not _missing(pending, shared):
            break
        images, error = _images_of(row, layout.image, store, root)
        name = look_up(row, layout.index)
        if name is not None and images and not any(isinstance(image, OtherRow) for image in images):
            shared[str(name)] = [image for image in images if not isinstance(image, OtherRow)]
        if not full and layout.wants(row):
            text = {key: value for key, value in row.items() if key not in layout.dropped}
            pending.append(_Pending(text, number, images, error))
            _locate(pending[-1], layout, root)
    decoded = clips.read(entry.clip for entry in pending if entry.clip is not None)
    for entry in pending:
        try:
            numbers = [number for image in entry.images for number in _resolve(image, shared, store, root)]
        except (ValueError, OSError) as problem:
            numbers, entry.error = [], entry.error or str(problem)
        clip = decoded[entry.clip] if entry.clip is not None else None
        if isinstance(clip, str):
            clip, entry.error = None, entry.error or clip
        yield layout.read(entry.row, entry.index, StoredImages(store, numbers), entry.error, clip)


def _locate(entry: _Pending, layout: _Layout, root: Path) -> None:
    if entry.error is None:
        try:
            entry.clip = layout.locate(entry.row, root)
        except (ValueError, OSError) as problem:
            entry.error = str(problem)


def _images_of(
    row: Row, columns: Sequence[str], store: ImageStore, root: Path
) -> tuple[list[int | OtherRow], str | None]:
    if isinstance(row, BadRow):
        return [], row.error
    values = [row[column] for column in columns if row.get(column) is not None]
    numbered = [row[name] for name in _NUMBERED if row.get(name) is not None]
    try:
        return read_images(values[0] if values else numbered or None, store, root), None
    except (ValueError, OSError) as problem:
        return [], str(problem)


def _missing(pending: Sequence[_Pending], shared: Mapping[str, object]) -> bool:
    return any(isinstance(image, OtherRow) and image not in shared for entry in pending for image in entry.images)


def _resolve(image: int | OtherRow, shared: Mapping[str, list[int]], store: ImageStore, root: Path) -> list[int]:
    if not isinstance(image, OtherRow):
        return [image]
    if image in shared:
        return shared[image]
    try:
        return [number for number in read_images(f"file://{image}", store, root) if isinstance(number, int)]
    except ValueError:
        if "/" in image or "." in image:
            raise
    raise ValueError(f"the image is that of row {str(image)!r}, which has none")


def _require_columns(row: Row, layout: _Layout, source: Path) -> None:
    missing = [names for names in layout.needed if not any(name.partition(".")[0] in row for name in names)]
    if missing and not isinstance(row, BadRow):
        columns = " and no column ".join(" or ".join(names) for names in missing)
        raise LipoError(f"{source} has no column {columns}", layout.help)


def _checked(item: Item, config: BenchmarkConfig) -> Item:
    """Put the configuration's scorer over the declaration's, and let it refuse a right answer before hours of work."""
    if item.scorer:
        scorer = config.scorer or item.scorer
        options = {**(item.scorer_options if scorer == item.scorer else {}), **config.scorer_options}
        item = replace(item, scorer=scorer, scorer_options=options)
    if item.error is None:
        problem = refused_truth(item, config)
        item = replace(item, error=problem) if problem else item
    return item


def refused_truth(item: Item, config: BenchmarkConfig) -> str | None:
    """Let the scorer look at the ground truth; it cannot judge any answer by one that it refuses."""
    from eval.scoring import find_scorer

    scorer = find_scorer(item.scorer or config.scorer or "auto")
    options = item.scorer_options if item.scorer else config.scorer_options
    try:
        scorer(
            item.data_source, f"\\boxed{{{_first(item.ground_truth)}}}", item.ground_truth, item.extra_info, **options
        )
    except LipoError as error:
        return str(error)
    return None


def _first(truth: Any) -> Any:
    return truth[0] if isinstance(truth, list) and truth else truth
