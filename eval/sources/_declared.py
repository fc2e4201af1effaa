"""Turns the rows of a table into questions, as a benchmark's declaration says."""

from __future__ import annotations

import re
import string
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from eval.benchmarks._prompt import compile_prompt
from eval.benchmarks.declaration import Benchmark, Breakdown, ScorerRule
from eval.sources._clips import Clip, VideoFile
from eval.sources._columns import for_people, look_up
from eval.sources._declared_video import VideoLocator
from eval.sources._literals import read_literal
from eval.sources.item import Item

_MARKER, _VIDEO = "<image>", "<video>"
_OWN_LETTER = re.compile(r"\(?([A-Z])[.):]\s*(\S.*)", re.DOTALL)
_NUMBERED = re.compile(r"<image[ _]?(\d{1,3})>")


class DeclaredReader:
    """Reads the rows of one benchmark."""

    def __init__(self, benchmark: Benchmark, name: str, mode: str | None = None) -> None:
        """Prepare.

        Args:
            benchmark: The declaration.
            name: Of the benchmark; becomes the items' ``data_source``.
            mode: Which of its prompts; None for ``prompt``.
        """
        self._benchmark, self._name = benchmark, name
        self._render = compile_prompt(benchmark.modes.get(mode or "", benchmark.prompt), name)
        self._videos = VideoLocator(benchmark.video, name) if benchmark.video else None

    def wants(self, row: Mapping[str, Any]) -> bool:
        """Whether the row belongs to the benchmark; a file without the column has been chosen from already."""
        return all(column not in row or str(row[column]) in values for column, values in self._benchmark.where.items())

    def locate(self, row: Mapping[str, Any], root: Path) -> VideoFile | None:
        """Find a row's video.

        Raises:
            ValueError: There is none.
        """
        return self._videos.locate(row, root) if self._videos else None

    def read(
        self,
        row: Mapping[str, Any],
        index: int,
        images: Sequence[bytes],
        error: str | None,
        clip: Clip | None = None,
    ) -> Item:
        """Make a question.

        Args:
            row: Column → value.
            index: Row number.
            images: Its images.
            error: Why they, or the clip, could not be read.
            clip: Frames of its video.

        Returns:
            The question; with ``error`` set where something is missing.
        """
        messages: tuple[tuple[str, str], ...] = ()
        options: dict[str, str] = {}
        truth: Any = None
        rule = self._benchmark.scorers[-1]
        extra: dict[str, Any] = {}
        try:
            columns = self._benchmark.columns
            options = read_options(row, columns.options, columns.letters or string.ascii_uppercase)
            rule = self._rule(row, options)
            if error is not None:
                raise ValueError(error)
            if self._videos is None and self._benchmark.image_required and not images:
                raise ValueError("no image")
            text = self._render(
                question=str(look_up(row, self._benchmark.columns.question) or ""),
                options=_lines(options),
                choices=options,
                subtitles=self._videos.subtitles(row, clip) if self._videos and clip else "",
                row=for_people(row),
            )
            text, images = place_images(text.strip(), images, self._benchmark.image_markers)
            # What a data set happens to contain must not pass for a marker.
            text = text.replace(_VIDEO, "<video >")
            messages = (("user", _VIDEO + text if clip else text),)
            truth = read_truth(look_up(row, self._benchmark.columns.answer), rule.answer, options)
            extra = {
                name: value for name in self._benchmark.columns.extra if (value := look_up(row, [name])) is not None
            }
            if options:
                extra["options"] = _without_gaps(options)
        except ValueError as problem:
            error = str(problem)
        return Item(
            index=index,
            messages=messages,
            images=images,
            ground_truth=truth,
            data_source=self._name,
            extra_info=extra,
            error=error,
            groups=self._groups(row),
            cluster=str(look_up(row, self._benchmark.columns.cluster) or ""),
            scorer=rule.use,
            scorer_options=rule.options,
            clip=clip,
        )

    def _rule(self, row: Mapping[str, Any], options: Mapping[str, str]) -> ScorerRule:
        return next(rule for rule in self._benchmark.scorers if _fits(rule.when, row, options))

    def _groups(self, row: Mapping[str, Any]) -> dict[str, str]:
        found = {name: _category(look_up(row, b.column), b) for name, b in self._benchmark.groups.items()}
        return {name: category for name, category in found.items() if category}


def _fits(when: Mapping[str, Any], row: Mapping[str, Any], options: Mapping[str, str]) -> bool:
    for column, wanted in when.items():
        if column == "options" and isinstance(wanted, bool):
            if bool(options) != wanted:
                return False
        elif str(look_up(row, [column])) not in [str(w) for w in (wanted if isinstance(wanted, list) else [wanted])]:
            return False
    return True


def _category(value: Any, breakdown: Breakdown) -> str:
    if value is None:
        return ""
    text = str(value).strip()
    if breakdown.pattern is not None:
        match = re.search(breakdown.pattern, text)
        text = match.group(1) if match else ""
    return breakdown.names.get(text, text)


def read_options(
    row: Mapping[str, Any], columns: Sequence[str], letters: Sequence[str] = string.ascii_uppercase
) -> dict[str, str]:
    """Read the options of a row.

    Args:
        row: Column → value.
        columns: Columns that may hold them all, as a list, a mapping by letter, or the text of one.
        letters: Else the columns that hold one each, in order.

    Returns:
        Letter → text, without the letter where every text begins with its own; a blank cell is no option. Empty for
        an open question.

    Raises:
        ValueError: More than 26 options, or options that are neither text nor numbers.
    """
    found = read_literal(look_up(row, columns))
    if hasattr(found, "tolist"):
        found = found.tolist()
    if isinstance(found, dict):
        options = {str(key).strip().upper(): value for key, value in found.items()}
    elif isinstance(found, list):
        if len(found) > len(string.ascii_uppercase):
            raise ValueError(f"{len(found)} options, more than there are letters")
        options = dict(zip(string.ascii_uppercase, found, strict=False))
    else:
        options = dict(zip(string.ascii_uppercase, map(row.get, letters), strict=False))
    texts = {letter: _option_text(text) for letter, text in options.items() if text is not None}
    lettered = {letter: _OWN_LETTER.fullmatch(text) for letter, text in texts.items()}
    if len(texts) > 1 and all(match and match.group(1) == letter for letter, match in lettered.items()):
        texts = {letter: match.group(2) for letter, match in lettered.items() if match}
    return {letter: texts[letter] for letter in sorted(texts) if texts[letter] and letter in string.ascii_uppercase}


def _option_text(text: Any) -> str:
    if not isinstance(text, str | int | float):
        raise ValueError(f"an option is {type(text).__name__}, not text")
    return str(text).strip()


def _lines(options: Mapping[str, str]) -> str:
    """Options for the prompt; where they are their letters (parts of a figure), once is enough."""
    return "\n".join(letter if text == letter else f"{letter}. {text}" for letter, text in options.items())


def _without_gaps(options: Mapping[str, str]) -> list[str]:
    """A missing option keeps its letter: the third of A, B, D is D."""
    letters = string.ascii_uppercase[: string.ascii_uppercase.index(max(options)) + 1]
    return [options.get(letter, "") for letter in letters]


def read_truth(value: Any, form: str, options: Mapping[str, str]) -> Any:
    """Bring the right answer into the form that scorers take.

    Raises:
        ValueError: There is none, or it names no option.
    """
    if hasattr(value, "tolist"):
        value = value.tolist()
    if value is None or (isinstance(value, str) and not value.strip()):
        raise ValueError("no right answer")
    if form in ("alternatives", "list", "text"):
        return _read_text(value, form)
    text = str(value).strip()
    if form == "option_text" and options:
        letters = [letter for letter, option in options.items() if option == text]
        if len(letters) != 1:
            raise ValueError(f"the right answer {text[:40]!r} is the text of {len(letters)} options")
        return letters[0]
    if form == "option_index" and text.isdecimal() and int(text) < len(string.ascii_uppercase):
        text = string.ascii_uppercase[int(text)]
    letter = text.strip("().").upper()
    if len(letter) != 1 or letter not in (options or string.ascii_uppercase):
        known = f"the options are {', '.join(options)}" if options else "no letter"
        raise ValueError(f"the right answer is {text[:40]!r}, {known}")
    return letter


def _read_text(value: Any, form: str) -> Any:
    parsed = read_literal(value)
    if not isinstance(parsed, list):
        return value
    texts = [item for item in parsed if isinstance(item, str | int | float) and str(item).strip()]
    if not texts or len(texts) < len(parsed):
        raise ValueError("the right answer is a list with blank items, or an empty one")
    if form == "list" or len(texts) > 1:
        return texts
    return texts[0]


def place_images(text: str, images: Sequence[bytes], markers: str) -> tuple[str, Sequence[bytes]]:
    """Put ``<image>`` where the images belong.

    Args:
        text: The prompt.
        images: Of the row.
        markers: ``none``: all before the text; ``numbered``: in place of ``<image 1>``, several times if asked for,
            those that the text never names before it; ``plain``: the text has its markers, or none at all.

    Returns:
        Text with one marker per image, and the images in the markers' order.

    Raises:
        ValueError: The text asks for an image that the row lacks.
    """
    if markers == "plain" and _MARKER in text:
        return text, images
    # What a data set happens to contain must not pass for a marker.
    text = text.replace(_MARKER, "<image >")
    named: list[int] = []
    if markers == "numbered":
        named = [int(number) for number in _NUMBERED.findall(text)]
        if named and not all(1 <= number <= len(images) for number in named):
            raise ValueError(f"the text asks for image {max(named)} of {len(images)}")
        text = _NUMBERED.sub(_MARKER, text)
    first = [number for number in range(1, len(images) + 1) if number not in named]
    order = first + named
    if order != list(range(1, len(images) + 1)):
        images = _reordered(images, [number - 1 for number in order])
    return _MARKER * len(first) + text, images


def _reordered(images: Sequence[bytes], order: Sequence[int]) -> Sequence[bytes]:
    from eval.sources._images import StoredImages

    return images.reordered(order) if isinstance(images, StoredImages) else tuple(images[i] for i in order)
