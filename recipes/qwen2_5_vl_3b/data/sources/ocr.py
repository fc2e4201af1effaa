"""Pictures of text as ICDAR, MJSynth and PaddleOCR sets are passed on (train*.txt: path, tab, text)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from recipes.qwen2_5_vl_3b.data.example import Example, Source
from recipes.qwen2_5_vl_3b.data.files import image_at, require, table_rows

QUESTION = "Read the text in the image. Give it exactly as it is written."


def read(directory: Path) -> Iterator[Example]:
    """Yield every labelled picture."""
    for file in require(directory, "**/train*.txt", "**/train*.tsv"):
        for values in table_rows(file, "\t"):
            if len(values) >= 2:
                name, text = values[0].strip(), values[1].strip()
                yield Example(f"{file.stem}/{name}", QUESTION, text, image_at(file.parent, name))


SOURCE = Source("ocr", "ocr", "any labelled set of text images; the paper does not name its own", "unknown", read)
