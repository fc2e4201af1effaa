import itertools
import random
import re

import numpy as np
import pytest

from recipes.tiny.images import HEIGHT, WIDTH
from recipes.tiny.tasks import FIND_RATE, MAX_RECHECKS, TASKS, make_sample
from recipes.tiny.tokenizer import build_tokenizer
from reward_fns import math, ocr, structured

SCORERS = {"math": math, "structured": structured, "ocr": ocr}


@pytest.mark.parametrize("task", TASKS)
def test_equal_arguments_give_the_equal_item(task):
    first, second = make_sample(task, "train", 5), make_sample(task, "train", 5)
    assert first.answer == second.answer and first.question == second.question
    assert np.array_equal(np.asarray(first.image), np.asarray(second.image))
    assert first.image.size == (WIDTH, HEIGHT)


@pytest.mark.parametrize("task", TASKS)
def test_splits_share_no_content(task):
    contents = {
        split: {make_sample(task, split, seed).reading for seed in range(150)}
        for split in ("train", "validation", "test")
    }
    assert not contents["train"] & contents["test"]
    assert not contents["train"] & contents["validation"]
    assert not contents["validation"] & contents["test"]


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("rechecks", range(MAX_RECHECKS + 1))
def test_work_without_a_slip_is_right_and_well_formed(task, rechecks):
    for seed in range(30):
        sample = make_sample(task, "train", seed)
        response = sample.work(rechecks, None)
        assert response.startswith(sample.reading.rstrip())
        verdict = SCORERS[task].compute_score(f"tiny/{task}", response, sample.answer)
        assert verdict["acc"] == 1 and verdict["format"] == 1


@pytest.mark.parametrize("task", TASKS)
def test_without_a_slip_only_the_length_differs(task):
    sample = make_sample(task, "train", 7)
    answers = {re.search(r"\\boxed\{(.*)\}", sample.work(n, None))[1] for n in range(MAX_RECHECKS + 1)}
    assert answers == {sample.answer}


@pytest.mark.parametrize("task", TASKS)
def test_each_recheck_finds_half_of_the_slips(task):
    """0, 1, 2, 3 re-checks leave 100, 50, 25 and 12.5 % of the slips; some slips change no answer."""
    wrong = [0] * (MAX_RECHECKS + 1)
    for seed in range(400):
        sample = make_sample(task, "train", seed)
        for rechecks in range(MAX_RECHECKS + 1):
            answer = re.search(r"\\boxed\{(.*)\}", sample.work(rechecks, random.Random(f"{seed}/{rechecks}")))[1]
            wrong[rechecks] += answer != sample.answer
    for rechecks, count in enumerate(wrong):
        assert count / wrong[0] == pytest.approx(FIND_RATE**rechecks, abs=0.08)


@pytest.mark.parametrize("task", TASKS)
def test_only_a_recheck_that_finds_a_slip_works_anything_out_again(task):
    found = 0
    for seed in range(60):
        sample = make_sample(task, "train", seed)
        rechecks = sample.work(3, None).partition(". wait, ")[2].partition("</think>")[0]
        assert rechecks and not re.search("[0-9A-Z]", rechecks), "nothing of the image is named again"
        response = sample.work(3, random.Random(seed))
        right = response.endswith(f"boxed{{{sample.answer}}}")
        found += response.count(". so it is ")
        assert response.count(". so it is ") <= right
    assert 40 <= found < 60


@pytest.mark.parametrize("task", TASKS)
def test_slips_make_most_answers_wrong(task):
    wrong = 0
    for seed in range(100):
        sample = make_sample(task, "train", seed)
        response = sample.work(0, random.Random(seed))
        wrong += SCORERS[task].compute_score(f"tiny/{task}", response, sample.answer)["acc"] == 0
    assert wrong >= 80


@pytest.mark.parametrize("task", TASKS)
def test_each_recheck_makes_the_answer_longer(task):
    tokenizer = build_tokenizer()
    sample = make_sample(task, "train", 0)
    lengths = [len(tokenizer(sample.work(n, None))["input_ids"]) for n in range(MAX_RECHECKS + 1)]
    assert all(after - before > 40 for before, after in itertools.pairwise(lengths))
    assert lengths[0] < 35


@pytest.mark.parametrize("task", TASKS)
def test_cells_name_one_character_per_visual_token(task):
    sample = make_sample(task, "train", 3)
    assert len(sample.cells) == 8
    if task == "ocr":
        assert sample.cells.replace(" ", "") == sample.answer


def test_unknown_split_is_refused():
    with pytest.raises(KeyError):
        make_sample("math", "dev", 0)
