"""Turns the rows of a table into questions, as a benchmark's declaration says."""

from __future__ import annotations

import re
import string
from collections.abc import Mapping, Sequence
from typing import Any

from eval.benchmarks._prompt import compile_prompt
from eval.benchmarks.declaration import Benchmark, Breakdown, ScorerRule
from eval.sources._literals import read_literal
from eval.sources.item import Item

_MARKER = "<image>"
_NUMBERED = re.compile(r"<image[ _]?(\d{1,3})>")


def look_up(row: Mapping[str, Any], names: Sequence[str]) -> Any:
    """Return the first column of ``names`` that has a value in this row.

    ``metadata.subject`` looks into a mapping, or into the text of one.
    """
    for name in names:
        value = row.get(name)
        if value is None and "." in name:
            column, _, key = name.partition(".")
            inside = read_literal(row.get(column))
            value = inside.get(key) if isinstance(inside, dict) else None
        if value is not None:
            return value
    return None


class DeclaredReader:
    """Reads the rows of one benchmark."""

    def __init__(self, benchmark: Benchmark, name: str) -> None:
        """Prepare.

        Args:
            benchmark: The declaration.
            name: Of the benchmark; becomes the items' ``data_source``.
        """
        self._benchmark, self._name = benchmark, name
        self._render = compile_prompt(benchmark.prompt, name)

    def wants(self, row: Mapping[str, Any]) -> bool:
        """Whether the row belongs to the benchmark; a file without the column has been chosen from already."""
        return all(column not in row or str(row[column]) in values for column, values in self._benchmark.where.items())

    def read(self, row: Mapping[str, Any], index: int, images: Sequence[bytes], error: str | None) -> Item:
        """Make a question.

        Args:
            row: Column → value.
            index: Row number.
            images: Its images.
            error: Why they could not be read.

        Returns:
            The question; with ``error`` set where something is missing.
        """
        messages: tuple[tuple[str, str], ...] = ()
        options: dict[str, str] = {}
        truth: Any = None
        rule = self._benchmark.scorers[-1]
        extra: dict[str, Any] = {}
        try:
            options = read_options(row, self._benchmark.columns.options)
            rule = self._rule(row, options)
            if error is not None:
                raise ValueError(error)
            if self._benchmark.image_required and not images:
                raise ValueError("no image")
            text = self._render(
                question=str(look_up(row, self._benchmark.columns.question) or ""),
                options=_lines(options),
                row=_for_people(row),
            )
            text, images = place_images(text.strip(), images, self._benchmark.image_markers)
            messages = (("user", text),)
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


def _for_people(row: Mapping[str, Any]) -> dict[str, Any]:
    """Blank cells print as nothing; bytes have no place in a prompt."""
    return {name: "" if value is None or isinstance(value, bytes) else value for name, value in row.items()}


def read_options(row: Mapping[str, Any], columns: Sequence[str]) -> dict[str, str]:
    """Read the options of a row.

    Args:
        row: Column → value.
        columns: Columns that may hold them all, as a list, a mapping by letter, or the text of one; else A, B, C, …

    Returns:
        Letter → text; a blank cell is no option. Empty for an open question.

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
        options = {letter: row.get(letter) for letter in string.ascii_uppercase}
    texts = {letter: _option_text(text) for letter, text in options.items() if text is not None}
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
