r"""Questions about videos, from the formats that data sets are published in.

- ``nextqa``: NExT-QA's CSV, columns ``video, question, answer, qid, type, a0 … a4``; the answer counts from 0. Beside
  it may lie ``map_vid_vidorID.json``, which maps a video's number to its folder.
- ``llava_video_178k``: JSON or JSON lines of ``{"video", "conversations": [{"from": "human", "value"}, {"from": "gpt",
  "value"}]}``, options as lines ``A. …`` of the question.
- ``problem_solution``: JSON lines of ``{"video_filename", "problem", "solution": "<answer>B</answer>"}``, in which
  TinyLLaVA-Video-R1 publishes its selection of NextQA.
- ``cold_start``: as ``llava_video_178k``, but the answers are whole responses, ``<think>…</think><answer>…</answer>``.
"""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from lipo.common import LipoError
from lipo.common.config import nearest

LETTERS = "ABCDEFGHIJ"

_OPTION = re.compile(r"\s*\(?([A-J])[.):]\s*(\S.*)")
_LETTER = re.compile(r"\(?([A-J])(?:[.):]|\Z|\s)")
_ANSWER = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)
_MARKER = re.compile(r"<(?:image|video)>\s*")


@dataclass(frozen=True)
class Question:
    """One multiple-choice question about a video."""

    video: str
    """Path relative to the folder of videos."""
    question: str
    """Text without options and instructions."""
    options: tuple[str, ...]
    """Texts of A, B, …"""
    answer: str
    """Letter of the right option."""
    identity: str
    """The data set's name for it."""
    kind: str = ""
    """The data set's class of questions."""
    response: str | None = None
    """A worked response, of cold-start data."""


class _RowError(ValueError):
    """Why a row is left out; the message is counted."""


def _split_options(text: str) -> tuple[str, tuple[str, ...]]:
    """Take the lines ``A. …`` out of a question; what follows them is an instruction of the data set."""
    lines = _MARKER.sub("", text).strip().splitlines()
    found = [(number, match) for number, line in enumerate(lines) if (match := _OPTION.fullmatch(line))]
    letters = "".join(match.group(1) for _, match in found)
    if len(found) < 2 or letters != LETTERS[: len(found)]:
        raise _RowError("no options A, B, ...")
    question = "\n".join(lines[: found[0][0]]).strip()
    if not question:
        raise _RowError("no question")
    return question, tuple(match.group(2).strip() for _, match in found)


def _letter(text: str, options: tuple[str, ...]) -> str:
    match = _LETTER.match(text.strip())
    letter = match.group(1) if match else ""
    if not letter or letter not in LETTERS[: len(options)]:
        raise _RowError("the answer names no option")
    return letter


def _text(row: Mapping[str, Any], key: str) -> str:
    value = row.get(key)
    if not isinstance(value, str) or not value.strip():
        raise _RowError(f"no {key}")
    return value.strip()


def _read_nextqa(path: Path) -> Iterator[dict[str, Any]]:
    folders: dict[str, str] = {}
    mapping = path.parent / "map_vid_vidorID.json"
    if mapping.is_file():
        folders = json.loads(mapping.read_text("utf-8"))
    with path.open(encoding="utf-8-sig", newline="") as file:
        for row in csv.DictReader(file):
            yield {**row, "folders": folders}


def _nextqa(row: dict[str, Any]) -> Iterator[Question]:
    number, question = _text(row, "video"), _text(row, "question")
    options = tuple(_text(row, f"a{i}") for i in range(5))
    answer = _text(row, "answer")
    if answer not in ("0", "1", "2", "3", "4"):
        raise _RowError("the answer names no option")
    yield Question(
        video=f"{row['folders'].get(number, number)}.mp4",
        question=question[0].upper() + question[1:] + ("" if question.endswith("?") else "?"),
        options=tuple(option.rstrip(".") for option in options),
        answer=LETTERS[int(answer)],
        identity=f"{number}_{row.get('qid') or ''}",
        kind=str(row.get("type") or ""),
    )


def _read_json(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        beginning = file.read(1)
        file.seek(0)
        yield from json.load(file) if beginning == "[" else (json.loads(line) for line in file if line.strip())


def _turns(row: dict[str, Any]) -> Iterator[tuple[str, str]]:
    turns = row.get("conversations")
    if not isinstance(turns, list) or not turns or len(turns) % 2:
        raise _RowError("no conversations")
    for human, model in zip(turns[::2], turns[1::2], strict=True):
        if not (isinstance(human, dict) and isinstance(model, dict) and human.get("from") == "human"):
            raise _RowError("no conversations")
        yield _text(human, "value"), _text(model, "value")


def _llava_video(row: dict[str, Any]) -> Iterator[Question]:
    video = _text(row, "video")
    for number, (asked, answered) in enumerate(_turns(row)):
        question, options = _split_options(asked)
        identity = f"{row.get('id') or video}_{number}"
        yield Question(
            video, question, options, _letter(answered, options), identity, str(row.get("data_source") or "")
        )


def _problem_solution(row: dict[str, Any]) -> Iterator[Question]:
    question, options = _split_options(_text(row, "problem"))
    solution = _text(row, "solution")
    match = _ANSWER.search(solution)
    video = _text(row, "video_filename").removeprefix("./")
    identity = str(row.get("problem_id") or row.get("id") or video)
    answer = _letter(match.group(1) if match else solution, options)
    yield Question(video, question, options, answer, identity, str(row.get("data_type") or ""))


def _cold_start(row: dict[str, Any]) -> Iterator[Question]:
    video = _text(row, "video")
    for number, (asked, response) in enumerate(_turns(row)):
        question, options = _split_options(asked)
        match = _ANSWER.search(response)
        if match is None or "<think>" not in response:
            raise _RowError("the response lacks <think> or <answer>")
        identity = f"{row.get('id') or video}_{number}"
        yield Question(video, question, options, _letter(match.group(1), options), identity, response=response)


_Reader = Callable[[Path], Iterator[dict[str, Any]]]
_Parser = Callable[[dict[str, Any]], Iterator[Question]]
_READERS: dict[str, tuple[_Reader, _Parser]] = {
    "nextqa": (_read_nextqa, _nextqa),
    "llava_video_178k": (_read_json, _llava_video),
    "problem_solution": (_read_json, _problem_solution),
    "cold_start": (_read_json, _cold_start),
}

FORMATS: Mapping[str, str] = MappingProxyType(
    {
        "nextqa": "nextqa",
        "llava_video_178k": "llava-video-178k",
        "problem_solution": "nextqa",
        "cold_start": "nextqa",
    }
)
"""Formats, and the ``data_source`` of their rows."""


def read_questions(path: Path, annotation_format: str) -> tuple[list[Question], dict[str, int]]:
    """Read annotations.

    Args:
        path: The file.
        annotation_format: One of :data:`FORMATS`.

    Returns:
        The questions in the file's order, and how many rows were left out for which reason.

    Raises:
        LipoError: Unknown format, no such file, or the file is not of that format at all.
    """
    if annotation_format not in _READERS:
        raise LipoError(f"no annotation format '{annotation_format}'", nearest(annotation_format, list(_READERS)))
    reader, parser = _READERS[annotation_format]
    questions: list[Question] = []
    problems: Counter[str] = Counter()
    try:
        for row in reader(path):
            try:
                if not isinstance(row, dict):
                    raise _RowError("the row is no object")
                questions += parser(row)
            except _RowError as error:
                problems[str(error)] += 1
    except (OSError, ValueError, AttributeError) as error:
        raise LipoError(
            f"cannot read {path} as {annotation_format}: {error}", "check the file and its format"
        ) from error
    if not questions:
        told = ", ".join(f"{count} x {reason}" for reason, count in problems.items()) or "it is empty"
        raise LipoError(f"{path} has no question of format {annotation_format}: {told}", "check the format")
    return questions, dict(problems)
