"""Streams the rows of a file: VLMEvalKit's TSV, JSONL, parquet, or a Hugging Face dataset."""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lipo.common import LipoError

FORMATS = ("tsv", "csv", "json", "jsonl", "parquet", "huggingface")
LONGEST_FIELD = 1 << 30
"""Characters of one field; a base64 image of hundreds of megabytes is no image."""
_BATCH = 16
"""Rows of parquet in memory at once; they may hold many images each."""

Row = dict[str, Any]


class BadRow(dict):
    """A row that cannot be read; ``error`` says why."""

    def __init__(self, error: str) -> None:
        """Keep the reason."""
        super().__init__()
        self.error = error


def guess_format(path: Path) -> str:
    """Tell a file's format by its name; a folder is a Hugging Face dataset, unless it holds nothing but JSON.

    Raises:
        LipoError: Another name.
    """
    if path.is_dir():
        names = {inner.name for inner in path.iterdir()}
        stored = names & {"dataset_dict.json", "state.json", "dataset_infos.json"}
        return "json" if names and not stored and all(name.endswith(".json") for name in names) else "huggingface"
    suffix = path.suffix.lower().lstrip(".")
    known = {"tsv": "tsv", "csv": "csv", "json": "json", "jsonl": "jsonl", "ndjson": "jsonl", "parquet": "parquet"}
    if suffix not in known:
        raise LipoError(
            f"{path} is of no known format", "give a .tsv, .csv, .json, .jsonl or .parquet file, or a folder"
        )
    return known[suffix]


def stream_rows(
    path: Path, kind: str, split: str | None = None, usual_split: str | None = None, usual_subset: str | None = None
) -> Iterator[Row]:
    """Read row by row; memory holds a few rows at a time, however large the file.

    Args:
        path: File, folder of a Hugging Face dataset, or the name of one (``owner/name``).
        kind: One of :data:`FORMATS`.
        split: Of a Hugging Face dataset, which must have it.
        usual_split: The one to take where none is asked for; the only one there is will do, too.
        usual_subset: Configuration to take of a Hugging Face dataset that has several.

    Yields:
        Column → value; blank cells and NaN are None. :class:`BadRow` where a row cannot be read.

    Raises:
        LipoError: The file as a whole cannot be read.
    """
    if kind != "huggingface" and not (path.is_file() or (kind == "json" and path.is_dir())):
        raise LipoError(f"{path} is no file", f"give a {kind} file, or correct 'format'")
    try:
        if kind in ("tsv", "csv"):
            yield from _table(path, "\t" if kind == "tsv" else ",")
        elif kind == "json":
            yield from _json(path)
        elif kind == "jsonl":
            yield from _jsonl(path)
        elif kind == "parquet":
            yield from _parquet(path)
        else:
            yield from _huggingface(path, split, usual_split, usual_subset)
    except UnicodeDecodeError as error:
        raise LipoError(f"cannot read {path}: it is not UTF-8 ({error.reason})", f"give a {kind} file") from error


def _table(path: Path, separator: str) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        lines = _cells(file, separator, path)
        names = [cell.strip() for cell in next(lines, [])]
        if not names:
            raise LipoError(f"{path} is empty", "give a table with a header line")
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise LipoError(f"{path} has two columns called '{twice}'", "rename one")
        for cells in lines:
            if len(cells) != len(names):
                yield BadRow(f"{len(cells)} cells where the header has {len(names)}")
            else:
                yield {
                    name: None if not cell or cell.isspace() else cell for name, cell in zip(names, cells, strict=True)
                }


def _cells(file: Iterator[str], separator: str, path: Path) -> Iterator[list[str]]:
    """Split lines; without quotes that needs no CSV parser, which takes seconds for a file of base64."""
    for number, line in enumerate(file):
        cells = (
            line.rstrip("\r\n").split(separator) if '"' not in line else _quoted(line, file, separator, path, number)
        )
        if any(cells):
            yield cells


def _quoted(line: str, rest: Iterator[str], separator: str, path: Path, number: int) -> list[str]:
    """Parse a row with quotes, which may go on over further lines."""
    # The limit is the whole process's, so it is lifted for this row only.
    limit = csv.field_size_limit(LONGEST_FIELD)
    try:
        # Strict: a quote that is never closed would silently swallow all rows after it.
        return next(csv.reader(itertools.chain([line], rest), delimiter=separator, strict=True), [])
    except csv.Error as error:
        raise LipoError(f"cannot read row {number} of {path}: {error}", "write it with a CSV library") from error
    finally:
        csv.field_size_limit(limit)


def _json(path: Path) -> Iterator[Row]:
    """Read lists of objects; ``file`` becomes a column, for some data sets have a file per task."""
    for file in sorted(path.glob("*.json")) if path.is_dir() else [path]:
        try:
            rows = json.loads(file.read_text("utf-8-sig"))
        except (ValueError, RecursionError) as error:
            if isinstance(error, UnicodeDecodeError):
                raise
            raise LipoError(f"cannot read {file}: it is no JSON: {error}"[:300], "download it again") from error
        if not isinstance(rows, list):
            raise LipoError(f"{file} is no list of questions", "give a JSON list of objects, or JSON lines")
        for row in rows:
            yield {"file": file.stem, **_plain(row)} if isinstance(row, dict) else BadRow("the row is no JSON object")


def _jsonl(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig") as file:
        for line in file:
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                yield BadRow(f"the line is no JSON: {error}"[:200])
                continue
            yield _plain(row) if isinstance(row, dict) else BadRow("the line is no JSON object")


def _parquet(path: Path) -> Iterator[Row]:
    import pyarrow
    import pyarrow.parquet

    try:
        for batch in pyarrow.parquet.ParquetFile(path).iter_batches(batch_size=_BATCH):
            yield from map(_plain, batch.to_pylist())
    except (pyarrow.ArrowException, OSError) as error:
        raise LipoError(f"cannot read {path}: {error}", "give a parquet file") from error


def _huggingface(path: Path, split: str | None, usual_split: str | None, usual_subset: str | None) -> Iterator[Row]:
    import datasets

    stored = (path / "dataset_dict.json").is_file() or (path / "state.json").is_file()
    try:
        # Its own progress bars tell of caches and casts.
        with contextlib.redirect_stderr(io.StringIO()):
            data = datasets.load_from_disk(str(path)) if stored else None
            if data is None:
                subsets = datasets.get_dataset_config_names(str(path)) if usual_subset else []
                subset = usual_subset if usual_subset in subsets else None
                data = datasets.load_dataset(str(path), name=subset, streaming=True)
        data = _pick_split(path, data, split, usual_split)
        if isinstance(data, datasets.Dataset):
            data = data.to_iterable_dataset()
        yield from map(_plain, data.decode(False))
    except (ValueError, OSError, RuntimeError, KeyError, TypeError, ConnectionError) as error:
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        folder = "give a folder of parquet files, of images with metadata.jsonl, or one written by save_to_disk"
        online = "check the name and the network; without one, give a folder as 'source'"
        raise LipoError(f"cannot read the dataset {path}: {reason}", folder if path.exists() else online) from error


def _pick_split(path: Path, data: Any, split: str | None, usual: str | None) -> Any:
    if not hasattr(data, "keys"):
        return data
    if split is None and len(data) == 1:
        return next(iter(data.values()))
    split = split or usual
    if split not in data:
        what = f"no split '{split}'" if split else "several splits"
        raise LipoError(f"{path} has {what}", f"set 'split' to one of {', '.join(map(str, data))}")
    return data[split]


def _plain(row: Row) -> Row:
    blank = {key for key, value in row.items() if isinstance(value, float) and math.isnan(value)}
    blank |= {key for key, value in row.items() if isinstance(value, str) and not value.strip()}
    return {str(key): None if key in blank else value for key, value in row.items()}
