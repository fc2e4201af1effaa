"""PlotQA (qa_pairs_V2.json: qa_pairs with image_index, question_string, answer; pictures in png/)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from recipes.qwen2_5_vl_3b.data.example import Example, Source
from recipes.qwen2_5_vl_3b.data.files import image_at, json_items, require


def read(directory: Path) -> Iterator[Example]:
    """Yield the training questions, from a file of gigabytes."""
    (file,) = require(directory, "**/train/qa_pairs_V2.json", "**/train/qa_pairs_V1.json", "qa_pairs_V2.json")
    for number, pair in enumerate(json_items(file, "qa_pairs.item")):
        answer = pair["answer"]
        yield Example(
            identity=str(pair.get("question_id", number)),
            question=str(pair["question_string"]),
            answer=f"{answer:.6g}" if isinstance(answer, float) else str(answer),
            load=image_at(file.parent, f"png/{pair['image_index']}.png"),
        )


SOURCE = Source("plotqa", "structured", "https://github.com/NiteshMethani/PlotQA", "mit", read)
