"""Three generated visual tasks with worked answers of chosen length: arithmetic, bar charts, codes.

Every worked answer first reads the image, then reasons, then re-checks itself ``rechecks`` times, as reasoning
models do. A *slip* is one misread symbol from which the rest follows consistently; the supervised base learns its
rate, so that it errs at temperature 1 and reinforcement learning has something to improve. A re-check finds a slip with
probability ``FIND_RATE`` and then works it out anew: thinking longer pays as long as the first reading errs. A re-check
that finds nothing says so and changes nothing, as most re-checks of large models do: it costs tokens, not accuracy.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from PIL import Image

from recipes.tiny.images import CELL, WIDTH, draw_bars, draw_text

CODE_ALPHABET = "ABCDEFHKLMNPRTUXY2345789"
BAR_NAMES = "ABCD"
_VERBS = {"+": "add", "-": "subtract"}
MAX_RECHECKS = 3
FIND_RATE = 0.5
"""Probability that a re-check finds a slip; it never spoils what is right."""

_Reading = TypeVar("_Reading")
_SPLIT_BUCKETS = {"train": range(80), "validation": range(80, 90), "test": range(90, 100)}


@dataclass(frozen=True)
class Sample:
    """One item: an image, its question, the right answer, and a way to write worked answers."""

    task: str
    image: Image.Image
    question: str
    answer: str
    cells: str
    """What each visual token shows, row by row: one of eight characters; a bar's value for both cells of its column."""
    reading: str
    """What a faultless reader writes down first; the target of the reading phase of training."""
    work: Callable[[int, random.Random | None], str]
    """``work(rechecks, slip_rng)``: a full response; with a random state, one symbol is misread at first."""


def _cells(rows: list[str]) -> str:
    return "".join(row.ljust(WIDTH // CELL) for row in rows)


def _respond(thought: str, answer: str) -> str:
    return f"<think>{thought}</think>\\boxed{{{answer}}}"


def read_again(
    right: _Reading, misread: Callable[[random.Random], _Reading], rechecks: int, slip: random.Random | None
) -> list[_Reading]:
    """What is read at first and at each re-check.

    Args:
        right: What a faultless reader reads.
        misread: Draws a wrong reading.
        rechecks: Number of re-checks.
        slip: Null where nothing is misread; else draws the slip, and whether each re-check finds it.
    """
    if slip is None:
        return [right] * (rechecks + 1)
    readings = [misread(slip)]
    for _ in range(rechecks):
        readings.append(right if slip.random() < FIND_RATE else readings[-1])
    return readings


def _think(
    first: str, readings: list[_Reading], openings: tuple[str, ...], redo: Callable[[_Reading], str], nothing: str
) -> str:
    """Go on after the ``first`` lines: each re-check opens, then works out what it reads anew, or finds ``nothing``."""
    thought = first
    for before, seen, opening in zip(readings, readings[1:], openings, strict=False):
        thought += opening + (nothing if seen == before else redo(seen))
    return thought


def _slip_digit(digit: int, rng: random.Random, low: int = 0) -> int:
    return rng.choice([d for d in range(low, 10) if d != digit])


def _arithmetic_steps(a: int, b: int, op: str) -> tuple[str, str]:
    ones_a, ones_b, tens_a, tens_b = a % 10, b % 10, a // 10, b // 10
    if op == "+":
        carry = (ones_a + ones_b) // 10
        steps = f"{ones_a}+{ones_b}={ones_a + ones_b}, {tens_a}+{tens_b}+{carry}={tens_a + tens_b + carry}"
        return steps, str(a + b)
    borrow = int(ones_a < ones_b)
    steps = f"{ones_a + 10 * borrow}-{ones_b}={ones_a + 10 * borrow - ones_b}, "
    return steps + f"{tens_a}-{tens_b}-{borrow}={tens_a - tens_b - borrow}", str(a - b)


def _misread_number(a: int, b: int, op: str, slip: random.Random) -> tuple[int, int]:
    if slip.random() < 0.5:
        a = a // 10 * 10 + _slip_digit(a % 10, slip)
    else:
        b = b // 10 * 10 + _slip_digit(b % 10, slip)
    return (b, a) if op == "-" and b > a else (a, b)


def _work_arithmetic(a: int, b: int, op: str, rechecks: int, slip: random.Random | None) -> str:
    readings = read_again((a, b), lambda rng: _misread_number(a, b, op, rng), rechecks, slip)

    def redo(reading: tuple[int, int]) -> str:
        steps, answer = _arithmetic_steps(*reading, op)
        return f"{reading[0]}{op}{reading[1]}. the ones and then the tens: {steps}. so it is {answer}"

    steps, answer = _arithmetic_steps(*readings[0], op)
    first = f"{readings[0][0]}{op}{readings[0][1]}: {steps}" + (
        f". so i think the answer is {answer}" if rechecks else ""
    )
    openings = (
        ". wait, let me check it again. first i read the image: ",
        ". but let me verify this step by step. in the image i see ",
        ". hmm, let me be sure and do it once more: ",
    )
    nothing = (
        "the first number and the second number, and it is what i read. "
        f"i {_VERBS[op]} the ones and then the tens once more, and it is the answer"
    )
    return _respond(_think(first, readings, openings, redo, nothing), _arithmetic_steps(*readings[-1], op)[1])


def _column_layout(a: int, b: int, op: str, rng: random.Random) -> list[str]:
    """Write the numbers below each other, as sums are written by hand, at one of two columns."""
    indent = " " * rng.randint(0, 1)
    return [f"{indent} {a}", f"{indent}{op}{b}"]


def _make_arithmetic(rng: random.Random) -> tuple[str, Callable[[random.Random], Sample]]:
    op = rng.choice("+-")
    a, b = rng.randint(10, 99), rng.randint(10, 99)
    if op == "-" and b > a:
        a, b = b, a
    question = rng.choice(("what is the result?", "calculate the image.", "solve it."))

    def build(look: random.Random) -> Sample:
        rows = _column_layout(a, b, op, look)
        return Sample(
            task="math",
            image=draw_text(rows, look),
            cells=_cells(rows),
            question=question,
            answer=_arithmetic_steps(a, b, op)[1],
            reading=f"<think>{a}{op}{b}: ",
            work=lambda rechecks, slip: _work_arithmetic(a, b, op, rechecks, slip),
        )

    return f"{a}{op}{b}", build


def _misread_bar(values: list[int], i: int, j: int, slip: random.Random) -> list[int]:
    k = slip.choice((i, j))
    near = slip.choice([v for v in (values[k] - 1, values[k] + 1) if 1 <= v <= 9])
    return [*values[:k], near, *values[k + 1 :]]


def _chart_step(values: list[int], i: int, j: int, op: str) -> tuple[str, str]:
    if op == "+":
        return f"{values[i]}+{values[j]}={values[i] + values[j]}", str(values[i] + values[j])
    high, low = max(values[i], values[j]), min(values[i], values[j])
    return f"{high}-{low}={high - low}", str(high - low)


def _work_chart(values: list[int], i: int, j: int, op: str, rechecks: int, slip: random.Random | None) -> str:
    readings = read_again(values, lambda rng: _misread_bar(values, i, j, rng), rechecks, slip)

    def bars(seen: list[int]) -> str:
        return " ".join(f"{name}={value}" for name, value in zip(BAR_NAMES, seen, strict=True))

    def redo(seen: list[int]) -> str:
        step, answer = _chart_step(seen, i, j, op)
        two = f"the bar {BAR_NAMES[i]} is {seen[i]} and the bar {BAR_NAMES[j]} is {seen[j]}"
        return f"{bars(seen)}. {two}: {step}. so it is {answer}"

    step, answer = _chart_step(readings[0], i, j, op)
    first = f"{bars(readings[0])}: {step}" + (f". so i think the answer is {answer}" if rechecks else "")
    openings = (
        ". wait, let me check it again. first i look at the bars: ",
        ". but let me verify this step by step. in the chart i see ",
        ". hmm, let me be sure and do it once more: ",
    )
    nothing = (
        "the first bar, the second bar, the third bar and the fourth bar, and it is what i read. "
        f"i {_VERBS[op]} once more, and it is the answer"
    )
    return _respond(_think(first, readings, openings, redo, nothing), _chart_step(readings[-1], i, j, op)[1])


def _make_chart(rng: random.Random) -> tuple[str, Callable[[random.Random], Sample]]:
    values = [rng.randint(1, 9) for _ in BAR_NAMES]
    i, j = rng.sample(range(len(BAR_NAMES)), 2)
    op = rng.choice("+-")
    words = {"+": ("sum of", "add the bars"), "-": ("difference of", "subtract the bars")}[op]
    question = f"{rng.choice(words)} {BAR_NAMES[i]} and {BAR_NAMES[j]}?"

    def build(look: random.Random) -> Sample:
        return Sample(
            task="structured",
            image=draw_bars(values, look),
            cells="".join(map(str, values)) * 2,
            question=question,
            answer=str(values[i] + values[j] if op == "+" else abs(values[i] - values[j])),
            reading="<think>" + " ".join(f"{n}={v}" for n, v in zip(BAR_NAMES, values, strict=True)) + ": ",
            work=lambda rechecks, slip: _work_chart(values, i, j, op, rechecks, slip),
        )

    return f"{values}", build


def _misread_code(code: str, slip: random.Random) -> str:
    k = slip.randrange(len(code))
    return code[:k] + slip.choice([c for c in CODE_ALPHABET if c != code[k]]) + code[k + 1 :]


def _work_code(code: str, rechecks: int, slip: random.Random | None) -> str:
    places = ("first", "second", "third", "fourth", "fifth", "sixth")
    readings = read_again(code, lambda rng: _misread_code(code, rng), rechecks, slip)

    def redo(seen: str) -> str:
        spelled = ", ".join(f"the {place} is {c}" for place, c in zip(places, seen, strict=False))
        return f"{' '.join(seen)}. {spelled}. so it is {seen}"

    first = " ".join(readings[0]) + (f". so i think the text is {readings[0]}" if rechecks else "")
    openings = (
        ". wait, let me check it again. first i look at the letters in the image: ",
        ". but let me verify this step by step. in the image i see ",
        ". hmm, let me be sure and read it once more: ",
    )
    nothing = (
        "the first letters and then the second letters, and it is what i read. "
        "i check the code step by step, and it is the text"
    )
    return _respond(_think(first, readings, openings, redo, nothing), readings[-1])


def _code_layout(code: str, rng: random.Random) -> list[str]:
    """Break a code over two rows of at most four characters."""
    first = rng.randint(max(1, len(code) - 4), min(4, len(code) - 1))
    return [code[:first], code[first:]]


def _make_code(rng: random.Random) -> tuple[str, Callable[[random.Random], Sample]]:
    code = "".join(rng.choice(CODE_ALPHABET) for _ in range(rng.randint(4, 6)))
    question = rng.choice(("read the code.", "what is the text?", "which letters are in the image?"))

    def build(look: random.Random) -> Sample:
        rows = _code_layout(code, look)
        return Sample(
            task="ocr",
            image=draw_text(rows, look),
            cells=_cells(rows),
            question=question,
            answer=code,
            reading="<think>" + " ".join(code),
            work=lambda rechecks, slip: _work_code(code, rechecks, slip),
        )

    return code, build


TASKS = {"math": _make_arithmetic, "structured": _make_chart, "ocr": _make_code}


def _draw(task: str, split: str, seed: int) -> tuple[str, Callable[[random.Random], Sample], random.Random]:
    rng = random.Random(f"{task}/{split}/{seed}")
    while True:
        content, build = TASKS[task](rng)
        bucket = int.from_bytes(hashlib.sha256(f"{task}:{content}".encode()).digest()[:8], "big") % 100
        if bucket in _SPLIT_BUCKETS[split]:
            return content, build, rng


def make_content(task: str, split: str, seed: int) -> str:
    """The content of :func:`make_sample`'s item: its expression, bar heights or code."""
    return _draw(task, split, seed)[0]


def make_sample(task: str, split: str, seed: int) -> Sample:
    """Generate the item of a task that belongs to ``(split, seed)``.

    Splits are disjoint in *content* (expression, bar heights, code), not only in seed: each content is hashed into
    one of 100 buckets, 80 of which are for training, 10 for validation and 10 for testing. Within a split, a content
    can come again, drawn in another way.

    Args:
        task: ``math``, ``structured`` or ``ocr``.
        split: ``train``, ``validation`` or ``test``.
        seed: Any integer; equal arguments give the equal item.

    Returns:
        The item.
    """
    _, build, rng = _draw(task, split, seed)
    return build(rng)
