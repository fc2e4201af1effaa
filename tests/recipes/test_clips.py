import itertools
import random
import re
from pathlib import Path

import numpy as np
import pytest

from lipo.video import FrameOptions, decode_clip
from recipes.tiny.clips import COLUMNS, DIRECTIONS, FPS, FRAMES, SECONDS, SIGNS, TASKS, make_clip, write_clip
from recipes.tiny.images import CELL, HEIGHT, WIDTH
from recipes.tiny.tasks import CODE_ALPHABET, FIND_RATE, MAX_RECHECKS
from recipes.tiny.tokenizer import build_tokenizer
from reward_fns import find_reflections
from reward_fns.video import compute_score

tasks = pytest.mark.parametrize("task", TASKS)


def right_option(sample):
    return sample.options["ABCD".index(sample.answer)]


@tasks
def test_worked_answers_earn_the_reward_and_slips_do_not(task):
    for seed in range(60):
        sample = make_clip(task, "train", seed)
        extra = {"options": list(sample.options)}
        lengths = []
        for rechecks in range(MAX_RECHECKS + 1):
            response = sample.work(rechecks, None)
            result = compute_score("tiny/video", response, sample.answer, extra, combination="weighted")
            assert result["score"] == 1.0
            assert find_reflections(response) == []
            lengths.append(len(response))
        assert lengths == sorted(set(lengths))
        wrong = compute_score("tiny/video", sample.work(0, random.Random(seed)), sample.answer, extra)
        assert wrong["acc"] == 0.0 and wrong["format"] == 1.0


@tasks
def test_rechecks_find_half_of_the_slips_and_each_find_is_a_reflection(task):
    found = [0] * (MAX_RECHECKS + 1)
    changes = reflections = 0
    for seed in range(400):
        sample = make_clip(task, "train", seed)
        for rechecks in range(MAX_RECHECKS + 1):
            text = sample.work(rechecks, random.Random(seed))
            found[rechecks] += compute_score("", text, sample.answer, {"options": list(sample.options)})["acc"] == 1.0
        said = re.findall(r"it (?:is|goes) (\w+)", text)
        changes += sum(one != other for one, other in itertools.pairwise(said))
        reflections += len(find_reflections(text))
    for rechecks, count in enumerate(found):
        assert count / 400 == pytest.approx(1 - (1 - FIND_RATE) ** rechecks, abs=0.08)
    assert reflections == changes


@tasks
def test_an_item_is_a_function_of_its_seed_and_splits_are_disjoint(task):
    again = [make_clip(task, "test", seed) for seed in range(5)]
    assert [sample.shown for sample in again] == [make_clip(task, "test", seed).shown for seed in range(5)]
    contents = [
        {make_clip(task, split, seed).shown for seed in range(400)} for split in ("train", "test", "validation")
    ]
    assert not (contents[0] & contents[1] or contents[0] & contents[2] or contents[1] & contents[2])
    assert all(len(content) > 80 for content in contents)


def test_what_splits_share_is_as_the_documentation_says():
    """Of the clips of recipes/tiny/studies/video.yaml."""
    sizes = {"train": (512, 0), "cold_start": (2048, 10_000_000), "test": (300, 0)}
    clips = {
        split: [make_clip(tuple(TASKS)[i % 3], split.replace("cold_start", "train"), first + i) for i in range(size)]
        for split, (size, first) in sizes.items()
    }
    training = clips["train"] + clips["cold_start"]
    assert not {clip.shown for clip in training} & {clip.shown for clip in clips["test"]}
    paths = {tuple(cell[1:] for cell in clip.shown) for clip in training if clip.task == "direction"}
    tested = [tuple(cell[1:] for cell in clip.shown) for clip in clips["test"] if clip.task == "direction"]
    recurring = sum(path in paths for path in tested)
    text = (Path(__file__).parents[2] / "docs/video.md").read_text("utf-8")
    assert f"{len(tested)} test clips of `direction`, {recurring} show a path" in " ".join(text.split())


@tasks
def test_answers_are_spread_over_the_letters(task):
    letters = [make_clip(task, "test", seed).answer for seed in range(300)]
    options = len(make_clip(task, "test", 0).options)
    for letter in "ABCD"[:options]:
        assert letters.count(letter) / len(letters) == pytest.approx(1 / options, abs=0.09)


def inked(picture):
    """Cells that hold more than paper and noise, as (column, row)."""
    grey = np.asarray(picture, dtype=np.float32).mean(2)
    paper = np.median(grey)
    cells = (grey - paper).reshape(HEIGHT // CELL, CELL, WIDTH // CELL, CELL)
    dark = (cells < -70).sum(axis=(1, 3)) > 12
    return {(int(column), int(row)) for row, column in zip(*np.nonzero(dark), strict=True)}


@tasks
def test_the_file_shows_what_the_answer_says(task, tmp_path):
    for seed in range(6):
        sample = make_clip(task, "train", seed)
        write_clip(sample, tmp_path / f"{seed}.mp4")
        clip = decode_clip(tmp_path / f"{seed}.mp4", FrameOptions(frames=FRAMES))
        assert len(clip.frames) == FRAMES and clip.frames[0].size == (WIDTH, HEIGHT)
        seen = [inked(clip.frames[second * FPS + FPS // 2]) for second in range(SECONDS)]
        assert seen == [{item[1:]} if item else set() for item in sample.shown]
        shown = [item for item in sample.shown if item]
        if task == "count":
            assert int(right_option(sample)) == len(shown)
        elif task == "order":
            assert right_option(sample) == shown[0 if "first" in sample.question else -1][0]
        else:
            (x, y), (to_x, to_y) = shown[0][1:], shown[-1][1:]
            assert (np.sign(to_x - x), np.sign(to_y - y)) == DIRECTIONS[right_option(sample)]


def test_the_base_reads_these_letters_and_no_option_is_called_like_one():
    assert set(SIGNS) <= set(CODE_ALPHABET) and not set(SIGNS) & set("ABCDEFGHIJ")
    assert COLUMNS * CELL == WIDTH


@tasks
def test_the_tiny_tokenizer_knows_every_character(task):
    tokenizer = build_tokenizer()
    for seed in range(20):
        sample = make_clip(task, "train", seed)
        text = sample.question + "\n".join(sample.options) + sample.work(3, None)
        assert tokenizer.unk_token_id not in tokenizer(text)["input_ids"]
