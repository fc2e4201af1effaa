"""TQA, textbook question answering (train/tqa_v1_train.json): its questions on diagrams."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from recipes.qwen2_5_vl_3b.data.example import Example, Source
from recipes.qwen2_5_vl_3b.data.files import image_at, json_items, require


def read(directory: Path) -> Iterator[Example]:
    """Yield the diagram questions; the answer is the option's letter."""
    (file,) = require(directory, "**/tqa_v1_train.json")
    for lesson in json_items(file, "item"):
        for identity, question in lesson["questions"].get("diagramQuestions", {}).items():
            options = [
                f"({letter.upper()}) {choice['processedText']}"
                for letter, choice in sorted(question["answerChoices"].items())
            ]
            yield Example(
                identity=f"{lesson['globalID']}/{identity}",
                question="\n".join([question["beingAsked"]["processedText"], *options]),
                answer=str(question["correctAnswer"]["processedText"]).strip("() ").upper(),
                load=image_at(file.parent, question["imagePath"]),
            )


SOURCE = Source("tqa", "structured", "https://prior.allenai.org/projects/tqa", "cc-by-nc-3.0", read)
