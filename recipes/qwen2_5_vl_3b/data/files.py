"""Reads the files that sources come in, row by row."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

from lipo.common import LipoError


def require(directory: Path, *patterns: str) -> list[Path]:
    """Find the files of a source.

    Args:
        directory: Of the source.
        patterns: Globs, in order of preference; the first that finds anything counts.

    Returns:
        Sorted files.

    Raises:
        LipoError: None is there.
    """
    for pattern in patterns:
        if found := sorted(p for p in directory.glob(pattern) if p.is_file()):
            return found
    raise LipoError(f"{directory} has no {' nor '.join(patterns)}", "give the directory of the source, unpacked")


def state_of(directory: Path) -> str:
    """Hash where a source is, and the names, sizes and times of change of its files."""
    digest = hashlib.sha256(str(directory.resolve()).encode())
    for path in sorted(p for p in directory.rglob("*") if p.is_file()):
        status = path.stat()
        digest.update(
            f"\0{path.relative_to(directory)}\0{status.st_size}\0{status.st_mtime_ns}".encode(errors="surrogateescape")
        )
    return digest.hexdigest()


def image_at(directory: Path, name: str) -> Callable[[], bytes]:
    """Return a reader of an image file that must lie within the directory."""

    def load() -> bytes:
        path = (directory / name).resolve()
        if not path.is_relative_to(directory.resolve()):
            raise ValueError(f"image path {name!r} leaves the source's directory")
        return path.read_bytes()

    return load


def parquet_rows(directory: Path, split: str = "train") -> Iterator[dict[str, Any]]:
    """Yield the rows of a Hugging Face dataset's parquet files.

    Args:
        directory: A copy of the dataset's repository.
        split: Whose files are taken: their names begin with it.
    """
    for path in require(directory, f"**/{split}*.parquet", f"**/{split}/*.parquet"):
        yield from parquet_file(path)


def parquet_file(path: Path, columns: Collection[str] | None = None) -> Iterator[dict[str, Any]]:
    """Yield the rows of one file; of ``columns`` those that it has, of None all."""
    import pyarrow
    import pyarrow.parquet

    try:
        file = pyarrow.parquet.ParquetFile(path)
        wanted = None if columns is None else [name for name in file.schema_arrow.names if name in columns]
        for batch in file.iter_batches(batch_size=64, columns=wanted):
            yield from batch.to_pylist()
    except pyarrow.ArrowException as error:
        raise LipoError(f"cannot read {path}: {error}", "get the file again") from error


def json_items(path: Path, prefix: str) -> Iterator[Any]:
    """Yield the items of a list within a JSON file of any size.

    Args:
        path: The file.
        prefix: Where the items are, as ijson writes it: ``item`` for a list at the top, ``qa_pairs.item`` for one
            under a key.
    """
    import ijson

    with path.open("rb") as file:
        try:
            yield from ijson.items(file, prefix, use_float=True)
        except ijson.JSONError as error:
            raise LipoError(f"{path} is not JSON: {error}", "get the file again") from error


def json_entries(path: Path) -> Iterator[tuple[str, Any]]:
    """Yield the keys and values of a large JSON object."""
    import ijson

    with path.open("rb") as file:
        try:
            yield from ijson.kvitems(file, "", use_float=True)
        except ijson.JSONError as error:
            raise LipoError(f"{path} is not JSON: {error}", "get the file again") from error


def json_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the objects of a JSONL file."""
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                try:
                    yield json.loads(line)
                except ValueError as error:
                    raise LipoError(f"{path}, line {number}, is not JSON: {error}", "get the file again") from error


def table_rows(path: Path, delimiter: str, quoted: bool = False) -> Iterator[list[str]]:
    """Yield the rows of a delimited text file."""
    csv.field_size_limit(1 << 24)
    with path.open(encoding="utf-8", newline="") as file:
        if quoted:
            yield from csv.reader(file, delimiter=delimiter, escapechar="\\")
        else:
            yield from csv.reader(file, delimiter=delimiter, quoting=csv.QUOTE_NONE)
