"""Geometry3K as prepared for verl and EasyR1 (parquet: images, problem, answer)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from recipes.qwen2_5_vl_3b.data.example import Example, Source
from recipes.qwen2_5_vl_3b.data.files import parquet_rows


def read(directory: Path) -> Iterator[Example]:
    """Yield the training split."""
    for number, row in enumerate(parquet_rows(directory)):
        images = row.get("images") or []
        yield Example(
            identity=str(number),
            question=str(row["problem"]),
            answer=str(row["answer"]),
            load=lambda images=images: _only(images),  # type: ignore[misc]
        )


def _only(images: list[dict[str, bytes]]) -> bytes:
    if len(images) != 1:
        raise ValueError(f"{len(images)} images")
    return images[0]["bytes"]


SOURCE = Source("geometry3k", "math", "https://huggingface.co/datasets/hiyouga/geometry3k", "mit", read)
