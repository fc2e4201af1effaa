"""TabFact (train_examples.json: table → [statements, labels, caption]; tables in all_csv/), drawn as pictures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from recipes.qwen2_5_vl_3b.data.draw_table import draw_table
from recipes.qwen2_5_vl_3b.data.example import Example, Source
from recipes.qwen2_5_vl_3b.data.files import json_entries, require, table_rows


def read(directory: Path) -> Iterator[Example]:
    """Yield each statement as a question to be answered with yes or no."""
    (file,) = require(directory, "**/train_examples.json")
    tables = {path.name: path for path in require(directory, "**/all_csv/*.csv")}
    for name, (statements, labels, caption) in json_entries(file):
        for number, (statement, label) in enumerate(zip(statements, labels, strict=True)):
            yield Example(
                identity=f"{name}/{number}",
                question=f'Does the table support this statement: "{statement}"? Answer yes or no.',
                answer="yes" if label else "no",
                load=lambda name=name, caption=caption: draw_table(  # type: ignore[misc]
                    list(table_rows(tables[name], "#")), str(caption)
                ),
            )


SOURCE = Source("tabfact", "structured", "https://github.com/wenhuchen/Table-Fact-Checking", "cc-by-4.0", read)
