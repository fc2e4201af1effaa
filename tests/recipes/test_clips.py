import random

import numpy as np
import pytest

from lipo.video import FrameOptions, decode_clip
from recipes.tiny.clips import CELL, DIRECTIONS, FRAMES, HEIGHT, MAX_RECHECKS, TASKS, WIDTH, make_clip, write_clip
from recipes.tiny.tokenizer import build_tokenizer
from reward_fns.video import compute_score

RGB = {
    "red": (255, 0, 0),
    "green": (0, 128, 0),
    "blue": (0, 0, 255),
    "orange": (255, 165, 0),
    "purple": (128, 0, 128),
    "black": (0, 0, 0),
}
tasks = pytest.mark.parametrize("task", TASKS)


@tasks
def test_worked_answers_earn_the_reward_and_slips_do_not(task):
    for seed in range(60):
        sample = make_clip(task, "train", seed)
        extra = {"options": list(sample.options)}
        assert sample.options["ABCD".index(sample.answer)]
        lengths = []
        for rechecks in range(MAX_RECHECKS + 1):
            response = sample.work(rechecks, None)
            result = compute_score("tiny/video", response, sample.answer, extra, combination="weighted")
            assert result["score"] == 1.0
            lengths.append(len(response))
        assert lengths == sorted(set(lengths))
        wrong = compute_score("tiny/video", sample.work(1, random.Random(seed)), sample.answer, extra)
        assert wrong["acc"] == 0.0 and wrong["format"] == 1.0


@tasks
def test_an_item_is_a_function_of_its_seed_and_splits_are_disjoint(task):
    again = [make_clip(task, "test", seed) for seed in range(5)]
    assert [sample.placed for sample in again] == [make_clip(task, "test", seed).placed for seed in range(5)]
    contents = [
        {make_clip(task, split, seed).content for seed in range(400)} for split in ("train", "test", "validation")
    ]
    assert not (contents[0] & contents[1] or contents[0] & contents[2] or contents[1] & contents[2])
    assert all(len(content) > 50 for content in contents)


@tasks
def test_answers_are_spread_over_the_letters(task):
    letters = [make_clip(task, "test", seed).answer for seed in range(300)]
    options = len(make_clip(task, "test", 0).options)
    for letter in "ABCD"[:options]:
        assert letters.count(letter) / len(letters) == pytest.approx(1 / options, abs=0.09)


def is_there(picture, item, frame):
    """Whether the middle of a shape has its colour."""
    x, y = (at + frame * step for at, step in zip(item.centre, item.step, strict=True))
    return np.abs(picture[round(y), round(x)].astype(int) - RGB[item.colour]).max() < 60


@tasks
def test_the_file_shows_what_the_answer_says(task, tmp_path):
    for seed in range(6):
        sample = make_clip(task, "train", seed)
        write_clip(sample, tmp_path / f"{seed}.mp4")
        clip = decode_clip(tmp_path / f"{seed}.mp4", FrameOptions(frames=FRAMES))
        assert len(clip.frames) == FRAMES and clip.frames[0].size == (WIDTH, HEIGHT)
        pictures = [np.asarray(frame) for frame in clip.frames]
        for item in sample.placed:
            seen = [is_there(picture, item, i) for i, picture in enumerate(pictures)]
            assert seen == [i >= item.appears for i in range(FRAMES)]
        right = sample.options["ABCD".index(sample.answer)]
        if task == "count":
            assert int(right) == len(sample.placed)
        elif task == "direction":
            (item,) = sample.placed
            assert tuple(np.sign(item.step)) == DIRECTIONS[right]
        else:
            order = sorted(sample.placed, key=lambda item: item.appears)
            assert right == order[0 if "first" in sample.question else -1].name


def test_shapes_stay_in_the_picture_and_apart():
    for task in TASKS:
        for seed in range(100):
            placed = make_clip(task, "train", seed).placed
            for item in placed:
                for frame in (0, FRAMES - 1):
                    x, y = (at + frame * step for at, step in zip(item.centre, item.step, strict=True))
                    assert 9 <= x <= WIDTH - 9 and 9 <= y <= HEIGHT - 9
            cells = {(item.centre[0] // CELL, item.centre[1] // CELL) for item in placed}
            assert len(cells) == len(placed)


@tasks
def test_the_tiny_tokenizer_knows_every_character(task):
    tokenizer = build_tokenizer()
    for seed in range(20):
        sample = make_clip(task, "train", seed)
        text = sample.question + "\n".join(sample.options) + sample.work(3, None)
        assert tokenizer.unk_token_id not in tokenizer(text)["input_ids"]
