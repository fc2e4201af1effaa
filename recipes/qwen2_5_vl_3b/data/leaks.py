"""Finds training questions that a benchmark asks too: by the picture, or by the text of a question."""

from __future__ import annotations

import base64
import binascii
import csv
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from recipes.qwen2_5_vl_3b.data.checks import Picture, Rejected, decode, describe

BENCHMARKS = ("mathvista", "mathvision", "mathverse", "wemath", "chartqa", "charxiv", "ocrbench", "ocr_reasoning",
              "mme", "mmstar")  # fmt: skip
"""The ten of the paper."""
NEAR = 4
"""Bits of 256 in which two outlines of one picture may differ [ours]."""
SPECIFIC = 40
"""Letters and digits from which on a question's text says which question it is; 'Find x.' does not [ours]."""
PLAIN = 24
"""Set bits, or unset ones, below which an outline is that of an empty picture and says nothing."""


class LeakIndex:
    """Everything that the benchmarks show and ask.

    Example:
        >>> index = LeakIndex()
        >>> index.add("mme", None, "Is there a dog behind the third chair from the left in this picture?")
        >>> index.find(None, "is there a DOG behind the third chair, from the left, in this picture")
        'mme (question)'
    """

    def __init__(self) -> None:
        """Begin empty."""
        self._pixels: dict[str, str] = {}
        self._texts: dict[str, str] = {}
        self._outlines: list[bytes] = []
        self._names: list[str] = []
        self._matrix: np.ndarray | None = None

    def add(self, benchmark: str, picture: Picture | None, question: str) -> None:
        """Add one question of a benchmark."""
        text = _normal(question)
        if len(text) >= SPECIFIC:
            self._texts.setdefault(text, benchmark)
        if picture is not None and picture.pixels not in self._pixels:
            self._pixels[picture.pixels] = benchmark
            if _says_something(picture.outline):
                self._outlines.append(picture.outline)
                self._names.append(benchmark)
                self._matrix = None

    def find(self, picture: Picture | None, question: str) -> str | None:
        """Say which benchmark has this picture or question, and which of the two.

        Returns:
            E.g. ``chartqa (image)``; None for a question that is new.
        """
        if picture is not None:
            if name := self._pixels.get(picture.pixels):
                return f"{name} (image)"
            if self._outlines and _says_something(picture.outline):
                if self._matrix is None:
                    self._matrix = np.frombuffer(b"".join(self._outlines), np.uint8).reshape(len(self._outlines), -1)
                apart = np.bitwise_count(self._matrix ^ np.frombuffer(picture.outline, np.uint8)).sum(axis=1)
                nearest = int(apart.argmin())
                if apart[nearest] <= NEAR:
                    return f"{self._names[nearest]} (image)"
        if name := self._texts.get(_normal(question)):
            return f"{name} (question)"
        return None

    @property
    def digest(self) -> str:
        """Changes when anything is added."""
        parts = [*sorted(self._pixels), *sorted(self._texts)]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def read_benchmarks(directory: Path) -> tuple[LeakIndex, dict[str, int]]:
    """Read the benchmarks' files.

    Args:
        directory: Holds ``<benchmark>.parquet`` in verl's format or ``<benchmark>.tsv`` in VLMEvalKit's, whatever the
            case of the name; files of other names count too.

    Returns:
        The index, and questions per file; 0 for each of :data:`BENCHMARKS` that has none.
    """
    index, counts = LeakIndex(), dict.fromkeys(BENCHMARKS, 0)
    for path in sorted(p for p in directory.rglob("*") if p.suffix in (".parquet", ".tsv")):
        name = _benchmark_of(path)
        for picture, question in _parquet(path) if path.suffix == ".parquet" else _tsv(path):
            index.add(name, picture, question)
            counts[name] = counts.get(name, 0) + 1
    return index, counts


def _benchmark_of(path: Path) -> str:
    plain = _normal(path.stem)
    fitting = [name for name in BENCHMARKS if plain.startswith(_normal(name))]
    return max(fitting, key=len, default=path.stem)


def _parquet(path: Path) -> Iterator[tuple[Picture | None, str]]:
    import pyarrow.parquet

    file = pyarrow.parquet.ParquetFile(path)
    wanted = [c for c in ("prompt", "images", "extra_info") if c in file.schema_arrow.names]
    for batch in file.iter_batches(batch_size=64, columns=wanted):
        for row in batch.to_pylist():
            question = (row.get("extra_info") or {}).get("question") or _text_of(row.get("prompt"))
            images = row.get("images") or [None]
            for image in images:
                data = image.get("bytes") if isinstance(image, dict) else image
                yield _picture(data), str(question)


def _text_of(prompt: Any) -> str:
    if isinstance(prompt, list):
        return " ".join(str(message.get("content", "")) for message in prompt).replace("<image>", " ")
    return str(prompt or "")


def _tsv(path: Path) -> Iterator[tuple[Picture | None, str]]:
    csv.field_size_limit(1 << 28)
    by_index: dict[str, Picture | None] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            encoded = row.get("image") or ""
            # A short one is the index of the row that has the picture.
            if len(encoded) < 64:
                picture = by_index.get(encoded)
            else:
                try:
                    picture = _picture(base64.b64decode(encoded))
                except (binascii.Error, ValueError):
                    picture = None
            by_index[row.get("index", "")] = picture
            yield picture, row.get("question") or ""


def _picture(data: Any) -> Picture | None:
    try:
        return describe(decode(data)) if isinstance(data, bytes) else None
    except Rejected:
        return None


def _says_something(outline: bytes) -> bool:
    ones = int.from_bytes(outline, "big").bit_count()
    return PLAIN <= ones <= 8 * len(outline) - PLAIN


def _normal(text: str) -> str:
    return re.sub(r"[\W_]+", "", text.casefold())
