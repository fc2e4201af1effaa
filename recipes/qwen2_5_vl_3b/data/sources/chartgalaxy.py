"""Questions on ChartGalaxy's infographics (train*.jsonl: image, question, answer).

The set publishes charts and their data; questions on them come from elsewhere, and this is the form they are read in.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from recipes.qwen2_5_vl_3b.data.example import Example, Source
from recipes.qwen2_5_vl_3b.data.files import image_at, json_lines, require


def read(directory: Path) -> Iterator[Example]:
    """Yield the questions of every JSONL file whose name begins with train."""
    for file in require(directory, "**/train*.jsonl"):
        for number, entry in enumerate(json_lines(file)):
            yield Example(
                identity=str(entry.get("id") or f"{file.stem}/{number}"),
                question=str(entry["question"]),
                answer=str(entry["answer"]),
                load=image_at(file.parent, str(entry["image"])),
            )


SOURCE = Source(
    "chartgalaxy", "structured", "https://huggingface.co/datasets/ChartGalaxy/ChartGalaxy", "cc-by-nc-4.0", read
)
