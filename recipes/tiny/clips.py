"""Three generated video tasks: which letter comes first or last, how many come, which way one moves.

Clips are real mp4 files. They show letters in the fonts, colours and cells of :mod:`recipes.tiny.images`, which the
tiny base can read in a picture; what it has to learn is time. Like the images of :mod:`recipes.tiny.tasks`, each clip
is a pure function of its seed, comes with worked answers of chosen length, whose re-checks find half of the slips, and
what it shows as a whole is in one split of its task only (:attr:`ClipSample.shown`).
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from lipo.common import atomic_write
from lipo.video.annotations import LETTERS, Question
from recipes.tiny.images import CELL, HEIGHT, WIDTH, draw_text
from recipes.tiny.tasks import read_again

FPS, SECONDS = 8, 4
FRAMES = FPS * SECONDS
"""What is seen changes at whole seconds only: the two frames that share a visual token are alike."""

SIGNS = "KLMNPRTUXY"
"""Letters that the base reads in codes, and that are no option's letter."""
DIRECTIONS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
COLUMNS, ROWS = WIDTH // CELL, HEIGHT // CELL

_SPLIT_BUCKETS = {"train": range(80), "validation": range(80, 90), "test": range(90, 100)}
_OPENINGS = (
    "",
    ". wait, let me check it again. first i look at the letters in the image: ",
    ". but let me verify this step by step. in the image i see: ",
    ". hmm, let me be sure and read it once more: ",
)
_PLACES = ("first", "second", "third", "fourth", "fifth")

Shown = tuple[str, int, int] | None
"""What a second shows: a letter, its column and its row; or nothing."""


@dataclass(frozen=True)
class ClipSample:
    """One item: what is to be seen, its question, the right answer, and a way to write worked answers."""

    task: str
    shown: tuple[Shown, ...]
    """By second; no two splits of a task share it as a whole. Parts recur: a direction's path, which alone decides its
    answer, with another letter; and what one task shows in one split, another task may show in another."""
    look: int
    """Seed of font, colours, place within the cell and noise."""
    question: str
    options: tuple[str, ...]
    answer: str
    """Letter of the right option."""
    work: Callable[[int, random.Random | None], str]
    """``work(rechecks, slip_rng)``: a full response; with a random state, something is seen wrongly at first."""


def _respond(
    seen: Sequence[Sequence[str]], conclude: Callable[[Sequence[str]], str], options: tuple[str, ...], verb: str = "is"
) -> str:
    """Write what is seen at first and at each re-check, with what follows from it."""
    thought = answer = ""
    for n, signs in enumerate(seen):
        answer, listed = conclude(signs), " ".join(signs)
        if n == 0:
            thought = f"{listed}. so i think it {verb} {answer}"
            continue
        spelled = ", ".join(f"the {place} is {sign}" for place, sign in zip(_PLACES, signs, strict=False))
        listed += "" if signs[0].isdigit() else f". {spelled}"
        thought += f"{_OPENINGS[n]}{listed}. so it {verb} {answer}"
    return f"<think>{thought}</think><answer>{LETTERS[options.index(answer)]}</answer>"


def _any_cell(rng: random.Random) -> tuple[int, int]:
    return rng.randrange(COLUMNS), rng.randrange(ROWS)


def _appearing(rng: random.Random, count: int) -> tuple[Shown, ...]:
    """Letters that come and go, one a second, some seconds empty."""
    when, signs = sorted(rng.sample(range(SECONDS), count)), rng.sample(SIGNS, count)
    shown: list[Shown] = [None] * SECONDS
    for second, sign in zip(when, signs, strict=True):
        shown[second] = (sign, *_any_cell(rng))
    return tuple(shown)


def _signs(shown: Sequence[Shown]) -> list[str]:
    return [item[0] for item in shown if item]


def _order(rng: random.Random) -> ClipSample:
    shown, place = _appearing(rng, 3), rng.choice((0, -1))
    signs = _signs(shown)
    options = tuple(rng.sample(signs, len(signs)))

    def misread(slip: random.Random) -> list[str]:
        seen, other = list(signs), slip.choice([i for i in range(3) if i != place % 3])
        seen[place], seen[other] = seen[other], seen[place]
        return seen

    def work(rechecks: int, slip: random.Random | None) -> str:
        return _respond(read_again(signs, misread, rechecks, slip), lambda seen: seen[place], options)

    question = f"what is {'last' if place else 'first'}?"
    return _sample("order", shown, rng, question, options, signs[place], work)


def _count(rng: random.Random) -> ClipSample:
    shown = _appearing(rng, rng.randint(1, SECONDS))
    signs, options = _signs(shown), tuple(map(str, range(1, SECONDS + 1)))

    def misread(slip: random.Random) -> list[str]:
        if len(signs) == SECONDS or (len(signs) > 1 and slip.random() < 0.5):
            missed = slip.randrange(len(signs))
            return [*signs[:missed], *signs[missed + 1 :]]
        more = slip.randint(0, len(signs))
        return [*signs[:more], slip.choice([sign for sign in SIGNS if sign not in signs]), *signs[more:]]

    def work(rechecks: int, slip: random.Random | None) -> str:
        return _respond(read_again(signs, misread, rechecks, slip), lambda seen: str(len(seen)), options)

    return _sample("count", shown, rng, "what is the number of letters?", options, str(len(signs)), work)


def _path(rng: random.Random, direction: str) -> list[tuple[int, int]]:
    """Cells by second, along a row or from one row to the other, never back."""
    dx, dy = DIRECTIONS[direction]
    if dy:
        column, turn = rng.randrange(COLUMNS), rng.randint(1, SECONDS - 1)
        return [(column, int((second >= turn) == (dy > 0))) for second in range(SECONDS)]
    row, columns = rng.randrange(ROWS), [0] * SECONDS
    while columns[0] == columns[-1]:
        columns = sorted((rng.randrange(COLUMNS) for _ in range(SECONDS)), reverse=dx < 0)
    return [(column, row) for column in columns]


def _direction(rng: random.Random) -> ClipSample:
    direction, sign = rng.choice(tuple(DIRECTIONS)), rng.choice(SIGNS)
    path, options = _path(rng, direction), tuple(DIRECTIONS)

    def way(cells: Sequence[str]) -> str:
        """Which way numbered cells lead: a step along a row is at most 3, one between rows is 4."""
        step = int(cells[-1]) - int(cells[0])
        return ("left" if step < 0 else "right") if abs(step) < COLUMNS else ("up" if step < 0 else "down")

    def numbered(cells: Sequence[tuple[int, int]]) -> list[str]:
        return [str(1 + column + COLUMNS * row) for column, row in cells]

    def misread(slip: random.Random) -> list[str]:
        return numbered(_path(slip, slip.choice([other for other in DIRECTIONS if other != direction])))

    def work(rechecks: int, slip: random.Random | None) -> str:
        return _respond(read_again(numbered(path), misread, rechecks, slip), way, options, verb="goes")

    shown = tuple((sign, *cell) for cell in path)
    return _sample("direction", shown, rng, f"which way is the {sign} going?", options, direction, work)


def _sample(
    task: str,
    shown: tuple[Shown, ...],
    rng: random.Random,
    question: str,
    options: tuple[str, ...],
    answer: str,
    work: Callable[[int, random.Random | None], str],
) -> ClipSample:
    letter = LETTERS[options.index(answer)]
    return ClipSample(task, shown, rng.getrandbits(62), question, options, letter, work)


TASKS = {"order": _order, "count": _count, "direction": _direction}


def make_clip(task: str, split: str, seed: int) -> ClipSample:
    """Generate the item of a task that belongs to ``(split, seed)``.

    Args:
        task: ``order``, ``count`` or ``direction``.
        split: ``train``, ``validation`` or ``test``; what is shown belongs to one of them by its hash.
        seed: Any integer; equal arguments give the equal item.

    Returns:
        The item.
    """
    rng = random.Random(f"video/{task}/{split}/{seed}")
    while True:
        sample = TASKS[task](rng)
        digest = hashlib.sha256(f"{task}:{sample.shown}".encode()).digest()
        if int.from_bytes(digest[:8], "big") % 100 in _SPLIT_BUCKETS[split]:
            return sample


def _rows(shown: Shown) -> list[str]:
    rows = [[" "] * COLUMNS for _ in range(ROWS)]
    if shown:
        sign, column, row = shown
        rows[row][column] = sign
    return ["".join(row) for row in rows]


def write_clip(sample: ClipSample, path: Path) -> None:
    """Encode a clip as H.264 in an mp4 file, whole or not at all."""
    # The same seed for every second: font, colours and shifts stay.
    pictures = [draw_text(_rows(shown), random.Random(sample.look)) for shown in sample.shown]
    with atomic_write(path, "wb") as file, av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"crf": "12"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for picture in pictures:
            for _ in range(FPS):
                frame = av.VideoFrame.from_ndarray(np.asarray(picture), "rgb24")
                container.mux(stream.encode(frame))
        container.mux(stream.encode())


def as_question(sample: ClipSample, video: str, response: str | None = None) -> Question:
    """Put an item as :mod:`lipo.video` takes questions."""
    return Question(video, sample.question, sample.options, sample.answer, video, sample.task, response)
