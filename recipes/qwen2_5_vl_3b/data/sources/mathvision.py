"""Problems in MathVision's columns (parquet: id, question, options, decoded_image, answer), a training split of them.

MathVision itself is one of the ten benchmarks: its own test split is never read, and the check against leaks drops
what is taken from it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from recipes.qwen2_5_vl_3b.data.example import Example, Source
from recipes.qwen2_5_vl_3b.data.files import parquet_rows


def read(directory: Path) -> Iterator[Example]:
    """Yield the training split; options follow the question, one a line."""
    for row in parquet_rows(directory):
        options = [str(option) for option in row.get("options") or []]
        letters = [f"({chr(65 + i)}) {option}" for i, option in enumerate(options)]
        image = row.get("decoded_image") or row.get("image") or {}
        question = str(row["question"]).replace("<image1>", "")
        yield Example(
            identity=str(row["id"]),
            question="\n".join([question, *letters]),
            answer=str(row["answer"]),
            load=lambda image=image: bytes(image["bytes"]),  # type: ignore[misc]
        )


SOURCE = Source("mathvision_train", "math", "a data set in MathVision's columns", "mit", read)
