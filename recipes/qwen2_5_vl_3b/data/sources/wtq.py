"""WikiTableQuestions (data/training.tsv: id, utterance, context, targetValue; tables in csv/), drawn as pictures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from recipes.qwen2_5_vl_3b.data.draw_table import draw_table
from recipes.qwen2_5_vl_3b.data.example import Example, Source
from recipes.qwen2_5_vl_3b.data.files import require, table_rows


def read(directory: Path) -> Iterator[Example]:
    """Yield the training questions; several values are joined by commas as the source's own order has them."""
    (file,) = require(directory, "**/data/training.tsv", "**/training.tsv")
    root = file.parent.parent if file.parent.name == "data" else file.parent
    rows = table_rows(file, "\t")
    columns = next(rows)
    for values in rows:
        row = dict(zip(columns, values, strict=False))
        yield Example(
            identity=row["id"],
            question=row["utterance"],
            answer=", ".join(_unescape(value) for value in row["targetValue"].split("|")),
            load=lambda name=row["context"]: _draw(root, name),  # type: ignore[misc]
        )


def _unescape(value: str) -> str:
    return value.replace("\\p", "|").replace("\\n", " ").replace("\\\\", "\\")


def _draw(root: Path, name: str) -> bytes:
    path = (root / name).resolve()
    if not path.is_relative_to(root.resolve()):
        raise ValueError(f"table path {name!r} leaves the source's directory")
    return draw_table(list(table_rows(path, ",", quoted=True)))


SOURCE = Source("wtq", "structured", "https://github.com/ppasupat/WikiTableQuestions", "cc-by-sa-4.0", read)
