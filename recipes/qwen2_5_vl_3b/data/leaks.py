"""Finds training questions that a benchmark asks too: by the picture, or by the text of a question."""

from __future__ import annotations

import base64
import binascii
import contextlib
import csv
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from lipo.common import LipoError
from recipes.qwen2_5_vl_3b.data.checks import Picture, Rejected, decode, describe
from recipes.qwen2_5_vl_3b.data.files import image_at, parquet_file

BENCHMARKS = ("mathvista", "mathvision", "mathverse", "wemath", "chartqa", "charxiv", "ocrbench", "ocr_reasoning",
              "mme", "mmstar")  # fmt: skip
"""The ten of the paper."""
NEAR = 4
"""Bits of 256 in which two outlines of one picture may differ [ours]."""
SPECIFIC = 40
"""Letters and digits from which on a question's text says which question it is; 'Find x.' does not [ours]."""
PLAIN = 24
"""Set bits, or unset ones, below which an outline is that of an empty picture and says nothing."""
_VERL = ("prompt", "extra_info")
_BASE64 = re.compile(r"[A-Za-z0-9+/]{64,}={0,2}")
"""A picture within a text: alone, in a list, or after ``data:…,``."""


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
        directory: Holds ``<benchmark>.parquet``, in verl's format or as the authors publish it, or VLMEvalKit's
            ``<benchmark>.tsv``, whatever the case of the name; files of other names count too.

    Returns:
        The index, and per file the rows that gave it a picture or a text; 0 for each of :data:`BENCHMARKS` that has
        none.

    Raises:
        LipoError: A file that gives neither, or has pictures and none that can be read: nothing would be checked
            against it.
    """
    index, counts = LeakIndex(), dict.fromkeys(BENCHMARKS, 0)
    questions, images = _columns()
    for path in sorted(p for p in directory.rglob("*") if p.suffix in (".parquet", ".tsv")):
        name, given, shown, readable = _benchmark_of(path), 0, False, False
        wanted = (*questions, *images, *_VERL)
        for row in parquet_file(path, wanted) if path.suffix == ".parquet" else _tsv(path):
            values = [row[column] for column in images if row.get(column)]
            pictures = [picture for data in _encoded(values, path.parent) if (picture := _picture(data))]
            texts = [text for text in (*(row.get(column) for column in questions), *_verl_texts(row)) if text]
            for picture in pictures:
                index.add(name, picture, "")
            for text in texts:
                index.add(name, None, str(text))
            given += bool(pictures or texts)
            shown, readable = shown or bool(values), readable or bool(pictures)
        if not given or (shown and not readable):
            what = "picture that can be read" if given else "column of questions or pictures"
            names = f"{', '.join(questions)} and {', '.join(images[:5])}"
            raise LipoError(f"{path} has no {what}", f"columns that are read: {names}; or move it out of --benchmarks")
        counts[name] = counts.get(name, 0) + given
    return index, counts


def _benchmark_of(path: Path) -> str:
    plain = _normal(path.stem)
    fitting = [name for name in BENCHMARKS if plain.startswith(_normal(name))]
    return max(fitting, key=len, default=path.stem)


def _columns() -> tuple[list[str], list[str]]:
    """Where evaluation looks for questions and pictures, in any benchmark; here all that a row has count."""
    from eval.benchmarks import benchmark_names, find_declaration

    declared = [find_declaration(name).columns for name in benchmark_names()]
    questions = dict.fromkeys(name for columns in declared for name in columns.question)
    images = dict.fromkeys(name for columns in declared for name in columns.image)
    return list(questions), [*images, *(f"image_{number}" for number in range(1, 21))]


def _verl_texts(row: dict[str, Any]) -> Iterator[str]:
    extra, prompt = row.get("extra_info"), row.get("prompt")
    if isinstance(extra, dict):
        yield str(extra.get("question") or "")
    if isinstance(prompt, list):
        prompt = " ".join(str(message.get("content", "")) for message in prompt).replace("<image>", " ")
    yield str(prompt or "")


def _tsv(path: Path) -> Iterator[dict[str, Any]]:
    csv.field_size_limit(1 << 28)
    with path.open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file, delimiter="\t")


def _encoded(value: Any, root: Path) -> Iterator[bytes]:
    """Find encoded pictures; the index of another row gives none, for that row has it."""
    if isinstance(value, bytes):
        yield value
    elif isinstance(value, dict):
        yield from _encoded(next(filter(None, map(value.get, ("bytes", "base64", "path", "image"))), None), root)
    elif isinstance(value, list):
        for part in value:
            yield from _encoded(part, root)
    elif isinstance(value, str) and "." in value[-5:]:
        with contextlib.suppress(OSError, ValueError):
            yield image_at(root, value)()
    elif isinstance(value, str):
        for text in _BASE64.findall("".join(value.split())):
            with contextlib.suppress(binascii.Error):
                yield base64.b64decode(text)


def _picture(data: bytes) -> Picture | None:
    try:
        return describe(decode(data))
    except Rejected:
        return None


def _says_something(outline: bytes) -> bool:
    ones = int.from_bytes(outline, "big").bit_count()
    return PLAIN <= ones <= 8 * len(outline) - PLAIN


def _normal(text: str) -> str:
    return re.sub(r"[\W_]+", "", text.casefold())
