"""MMK12: school problems with figures (parquet: id, question, answer, subject, image)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from recipes.qwen2_5_vl_3b.data.example import Example, Source
from recipes.qwen2_5_vl_3b.data.files import parquet_rows


def read(directory: Path) -> Iterator[Example]:
    """Yield the training split."""
    for number, row in enumerate(parquet_rows(directory)):
        image = row.get("image") or {}
        yield Example(
            identity=str(row.get("id") or number),
            question=str(row["question"]),
            answer=str(row["answer"]),
            load=lambda image=image: bytes(image["bytes"]),  # type: ignore[misc]
        )


SOURCE = Source("mmk12", "math", "https://huggingface.co/datasets/FanqingM/MMK12", "apache-2.0", read)
