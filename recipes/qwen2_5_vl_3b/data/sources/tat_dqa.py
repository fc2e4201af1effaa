"""TAT-DQA: questions on pages of financial reports (tatdqa_dataset_train.json, pages as <uid>.png).

The source has pages as PDF; draw them first: `pdftoppm -png -r 100 -singlefile <uid>.pdf <uid>`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from recipes.qwen2_5_vl_3b.data.example import Example, Source
from recipes.qwen2_5_vl_3b.data.files import json_items, require


def read(directory: Path) -> Iterator[Example]:
    """Yield questions with one answer; those with several, or with a unit apart, carry them in the text."""
    pages = {path.stem: path for path in require(directory, "**/*.png")}
    for file in require(directory, "**/tatdqa_dataset_train.json"):
        for document in json_items(file, "item"):
            uid = str(document["doc"]["uid"])
            for question in document["questions"]:
                answer = question["answer"]
                values = answer if isinstance(answer, list) else [answer]
                scale = str(question.get("scale") or "")
                hint = f" Answer in {scale}s." if scale in ("thousand", "million", "billion") else ""
                percent = "%" if scale == "percent" else ""
                yield Example(
                    identity=str(question["uid"]),
                    question=str(question["question"]) + hint,
                    # Several values are for nobody to box; the check of answers drops them.
                    answer=f"{values[0]}{percent}" if len(values) == 1 else "",
                    load=lambda uid=uid: pages[uid].read_bytes(),  # type: ignore[misc]
                )


SOURCE = Source("tat_dqa", "structured", "https://github.com/NExTplusplus/TAT-DQA", "cc-by-4.0", read)
