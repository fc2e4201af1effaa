"""One question on its way from a source to a training file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Task = Literal["math", "structured", "ocr"]

INSTRUCTION = (
    "Think first, between <think> and </think>. Then give the final answer in \\boxed{}, and nothing else after it."
)
"""Asks for the form that the rewards check [R1-ShareVL: reasoning in <think>, answer in a box; the wording is ours]."""


@dataclass(frozen=True)
class Example:
    """A question as its source has it.

    Attributes:
        identity: Unique within the source, and stable.
        question: Text, options included.
        answer: Ground truth.
        load: Reads the encoded image; called only where it is needed.
        extra: Further columns worth keeping.
    """

    identity: str
    question: str
    answer: str
    load: Callable[[], bytes]
    extra: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Source:
    """A public data set that this package can read.

    Attributes:
        name: Short name; also the rows' ``data_source``.
        task: Task family.
        home: Where it is published, to get it from.
        licence: As published when this was written; the copy's own card goes before it.
        read: Yields examples from a directory in the source's own format, in a stable order, one at a time.
    """

    name: str
    task: Task
    home: str
    licence: str
    read: Callable[[Path], Iterator[Example]]


def row(source: Source, example: Example, image: bytes, split: str, index: int) -> dict[str, Any]:
    """Convert to verl's columns."""
    question = example.question.replace("<image>", "").strip()
    return {
        "data_source": source.name,
        "prompt": [{"role": "user", "content": f"<image>{question}\n\n{INSTRUCTION}"}],
        "images": [{"bytes": image}],
        "ability": source.task,
        "reward_model": {"style": "rule", "ground_truth": example.answer},
        "extra_info": {
            "split": split,
            "index": index,
            "identity": example.identity,
            "question": question,
            "answer": example.answer,
        },
    }
