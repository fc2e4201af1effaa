"""Three generated video tasks: which shape came first, how many appeared, which way one moves.

Clips are real mp4 files. Like the images of :mod:`recipes.tiny.tasks`, each is a pure function of its seed, comes with
worked answers of chosen length, and its splits share no content.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from PIL import Image, ImageDraw

from lipo.common import atomic_write
from lipo.video.annotations import LETTERS, Question

WIDTH, HEIGHT, CELL = 112, 56, 28
FRAMES, FPS = 32, 8
"""Four seconds."""
MAX_RECHECKS = 3

COLOURS = ("red", "green", "blue", "orange", "purple", "black")
SHAPES = ("circle", "square", "triangle")
DIRECTIONS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}

_PAPERS = ("white", "#fff8e0", "#eef3ff", "#f0fff0", "#eeeeee")
_SPLIT_BUCKETS = {"train": range(80), "validation": range(80, 90), "test": range(90, 100)}
_RECHECKS = (
    ". wait, let me check it again. i see ",
    ". but let me verify this step by step. i see ",
    ". hmm, let me be sure and look once more: i see ",
)


@dataclass(frozen=True)
class Placed:
    """A shape on its way through a clip."""

    colour: str
    shape: str
    centre: tuple[float, float]
    """Pixels, in the first frame."""
    appears: int = 0
    """Frame from which it is there."""
    step: tuple[float, float] = (0.0, 0.0)
    """Pixels a frame."""

    @property
    def name(self) -> str:
        """Such as ``red circle``."""
        return f"{self.colour} {self.shape}"


@dataclass(frozen=True)
class ClipSample:
    """One item: what is to be seen, its question, the right answer, and a way to write worked answers."""

    task: str
    content: str
    """What decides the answer; no two splits share it."""
    placed: tuple[Placed, ...]
    paper: str
    noise: float
    question: str
    options: tuple[str, ...]
    answer: str
    """Letter of the right option."""
    work: Callable[[int, random.Random | None], str]
    """``work(rechecks, slip_rng)``: a full response; with a random state, something is seen wrongly."""


def _respond(seen: str, answer: str, letter: str, rechecks: int) -> str:
    thought = f"i see {seen}. so it is {answer}"
    for opening in _RECHECKS[:rechecks]:
        thought += f"{opening}{seen}. so it is {answer}"
    return f"<think>{thought}</think><answer>{letter}</answer>"


def _lettered(options: tuple[str, ...], answer: str) -> str:
    return LETTERS[options.index(answer)]


def _appearing(names: list[tuple[str, str]], look: random.Random) -> tuple[Placed, ...]:
    """Place shapes in cells of their own; they appear one after the other at even distances, the first at once."""
    cells = look.sample([(x, y) for x in range(WIDTH // CELL) for y in range(HEIGHT // CELL)], len(names))
    starts = [i * FRAMES // len(names) for i in range(len(names))]
    centres = [((x + 0.5) * CELL + look.uniform(-3, 3), (y + 0.5) * CELL + look.uniform(-3, 3)) for x, y in cells]
    return tuple(
        Placed(colour, shape, centre, start)
        for (colour, shape), centre, start in zip(names, centres, starts, strict=True)
    )


def _draw_names(rng: random.Random, count: int) -> list[tuple[str, str]]:
    return rng.sample([(colour, shape) for colour in COLOURS for shape in SHAPES], count)


def _order(rng: random.Random) -> ClipSample:
    names = _draw_names(rng, 3)
    which = rng.choice(("first", "last"))
    placed = _appearing(names, rng)
    spoken = [item.name for item in placed]
    options = tuple(rng.sample(spoken, len(spoken)))
    place = 0 if which == "first" else -1

    def work(rechecks: int, slip: random.Random | None) -> str:
        seen = list(spoken)
        if slip is not None:
            other = slip.choice([i for i in range(3) if i != place % 3])
            seen[place], seen[other] = seen[other], seen[place]
        return _respond(", then ".join(seen), seen[place], _lettered(options, seen[place]), rechecks)

    content = f"{which}:{','.join(item.name for item in placed)}"
    question = f"what comes {which}?"
    return _sample("order", content, placed, rng, question, options, _lettered(options, spoken[place]), work)


def _count(rng: random.Random) -> ClipSample:
    count = rng.randint(1, 4)
    placed = _appearing(_draw_names(rng, count), rng)
    options = tuple(map(str, rng.sample(range(1, 5), 4)))

    def work(rechecks: int, slip: random.Random | None) -> str:
        names = [item.name for item in placed]
        if slip is not None:
            names = names[:-1] if len(names) == 4 or (len(names) > 1 and slip.random() < 0.5) else [*names, "shape"]
        return _respond(", then ".join(names), str(len(names)), _lettered(options, str(len(names))), rechecks)

    content = f"{count}:{','.join(item.name for item in placed)}"
    question = "how many shapes are there at last?"
    return _sample("count", content, placed, rng, question, options, _lettered(options, str(count)), work)


def _direction(rng: random.Random) -> ClipSample:
    direction, colour, shape = rng.choice(tuple(DIRECTIONS)), rng.choice(COLOURS), rng.choice(SHAPES)
    across, along = rng.randint(0, 9), rng.randint(0, 9)
    dx, dy = DIRECTIONS[direction]
    length, breadth = (WIDTH, HEIGHT) if dx else (HEIGHT, WIDTH)
    start = CELL / 2 + along
    speed = (length - CELL - along) / (FRAMES - 1)
    track = CELL / 2 + across * (breadth - CELL) / 9
    forward = start if dx + dy > 0 else length - start
    centre = (forward, track) if dx else (track, forward)
    placed = (Placed(colour, shape, centre, 0, (dx * speed, dy * speed)),)
    options = tuple(rng.sample(tuple(DIRECTIONS), len(DIRECTIONS)))

    def work(rechecks: int, slip: random.Random | None) -> str:
        way = direction if slip is None else slip.choice([other for other in DIRECTIONS if other != direction])
        return _respond(f"the {colour} {shape} move {way}", way, _lettered(options, way), rechecks)

    content = f"{direction}:{colour} {shape}:{across}:{along}"
    question = f"which way does the {colour} {shape} move?"
    return _sample("direction", content, placed, rng, question, options, _lettered(options, direction), work)


def _sample(
    task: str,
    content: str,
    placed: tuple[Placed, ...],
    rng: random.Random,
    question: str,
    options: tuple[str, ...],
    answer: str,
    work: Callable[[int, random.Random | None], str],
) -> ClipSample:
    return ClipSample(task, content, placed, rng.choice(_PAPERS), rng.uniform(0, 8), question, options, answer, work)


TASKS = {"order": _order, "count": _count, "direction": _direction}


def make_clip(task: str, split: str, seed: int) -> ClipSample:
    """Generate the item of a task that belongs to ``(split, seed)``.

    Args:
        task: ``order``, ``count`` or ``direction``.
        split: ``train``, ``validation`` or ``test``; each content belongs to one of them by its hash.
        seed: Any integer; equal arguments give the equal item.

    Returns:
        The item.
    """
    rng = random.Random(f"video/{task}/{split}/{seed}")
    while True:
        sample = TASKS[task](rng)
        digest = hashlib.sha256(f"{task}:{sample.content}".encode()).digest()
        if int.from_bytes(digest[:8], "big") % 100 in _SPLIT_BUCKETS[split]:
            return sample


def _draw(sample: ClipSample, frame: int) -> Image.Image:
    image = Image.new("RGB", (WIDTH, HEIGHT), sample.paper)
    draw, radius = ImageDraw.Draw(image), 9
    for item in sample.placed:
        if frame < item.appears:
            continue
        x, y = (at + frame * step for at, step in zip(item.centre, item.step, strict=True))
        box = (x - radius, y - radius, x + radius, y + radius)
        if item.shape == "circle":
            draw.ellipse(box, fill=item.colour)
        elif item.shape == "square":
            draw.rectangle(box, fill=item.colour)
        else:
            draw.polygon([(x, y - radius), (x - radius, y + radius), (x + radius, y + radius)], fill=item.colour)
    return image


def write_clip(sample: ClipSample, path: Path) -> None:
    """Encode a clip as H.264 in an mp4 file, whole or not at all."""
    noise = np.random.default_rng(int.from_bytes(hashlib.sha256(repr(sample.placed).encode()).digest()[:8], "big"))
    with atomic_write(path, "wb") as file, av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"crf": "12"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for i in range(FRAMES):
            picture = np.asarray(_draw(sample, i), dtype=np.float32) + noise.normal(0, sample.noise, (HEIGHT, WIDTH, 3))
            frame = av.VideoFrame.from_ndarray(np.clip(picture, 0, 255).astype(np.uint8), "rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def as_question(sample: ClipSample, video: str, response: str | None = None) -> Question:
    """Put an item as :mod:`lipo.video` takes questions."""
    return Question(video, sample.question, sample.options, sample.answer, video, sample.task, response)
