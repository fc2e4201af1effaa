"""Write the tiny video experiment's data: mp4 clips, their frames, and verl parquet files, from seeds.

    python -m recipes.tiny.make_video_data --out runs/video/data

``cold_start.parquet`` holds worked answers for supervised training; ``train``, ``validation`` and ``test`` hold
questions, a third of each task; no two splits of a task share what a whole clip shows. Clips and tables that are
already there are kept.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

import pandas as pd

from lipo.common import atomic_write
from lipo.video import FrameCache, FrameOptions, Question
from lipo.video.prepare import prepare
from recipes.tiny.clips import TASKS, as_question, make_clip, write_clip
from recipes.tiny.images import CELL, HEIGHT, WIDTH
from recipes.tiny.tasks import MAX_RECHECKS
from recipes.tiny.train_base import SLIP_RATE

SIZES = {"cold_start": 2048, "train": 768, "validation": 96, "test": 300}
SOURCE = "tiny/video"
FRAME_OPTIONS = FrameOptions(frames=8, max_pixels=WIDTH * HEIGHT, multiple_of=CELL, encoding="png")
"""8 frames of 112 × 56: 32 visual tokens, as two frames share theirs."""


def make_questions(split: str, size: int, folder: Path) -> list[Question]:
    """Generate questions and the clips that they are about; the seed of an item is its index.

    Args:
        split: ``train``, ``validation``, ``test``, or ``cold_start``, whose items are the training split's from seed
            10,000,000 on, with worked answers.
        size: Number of questions.
        folder: Where clips go; those that exist are kept.
    """
    questions = []
    for index in range(size):
        task = tuple(TASKS)[index % len(TASKS)]
        seed, rng = index, random.Random(f"{split}/{index}")
        response = None
        if split == "cold_start":
            seed += 10_000_000
        sample = make_clip(task, "train" if split == "cold_start" else split, seed)
        if split == "cold_start":
            # The first of every task is always right.
            slip = rng if index >= len(TASKS) and rng.random() < SLIP_RATE else None
            response = sample.work(rng.randint(0, MAX_RECHECKS), slip)
        name = f"{split}/{index:05d}_{task}.mp4"
        if not (folder / name).exists():
            write_clip(sample, folder / name)
        questions.append(as_question(sample, name, response))
    return questions


def make_table(split: str, size: int, folder: Path, threads: int = 2) -> pd.DataFrame:
    """Generate a split as rows in verl's format.

    Args:
        split: As in :func:`make_questions`.
        size: Number of rows.
        folder: Clips go to ``clips`` in it, frames to ``frames``.
        threads: Clips decoded at once.
    """
    questions = make_questions(split, size, folder / "clips")
    cache = FrameCache(folder / "frames", FRAME_OPTIONS)
    prepared = prepare(questions, folder / "clips", cache, source=SOURCE, split=split, threads=threads)
    if prepared.left_out:
        raise RuntimeError(f"clips written a moment ago cannot be read: {prepared.left_out}")
    return pd.DataFrame(prepared.rows)


def main() -> None:
    """Parse the command line and write what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="directory of the clips and parquet files")
    for split, size in SIZES.items():
        parser.add_argument(f"--{split.replace('_', '-')}", type=int, default=size, help=f"number of {split} items")
    options = parser.parse_args()
    for split in SIZES:
        path = options.out / f"{split}.parquet"
        if not path.exists():
            table = make_table(split, getattr(options, split), options.out)
            with atomic_write(path, "wb") as file:
                table.to_parquet(file)
        print(path, flush=True)


if __name__ == "__main__":
    main()
