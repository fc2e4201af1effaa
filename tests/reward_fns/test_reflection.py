import json
import math
import re
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reward_fns import find_reflections
from reward_fns.math import compute_score

HERE = Path(__file__).parent
ROWS = [json.loads(line) for line in (HERE / "data" / "reflections.jsonl").read_text("utf-8").splitlines()]
DOCS = (HERE.parents[1] / "docs" / "rewards.md").read_text("utf-8")


def test_the_labelled_set_is_large_and_balanced():
    assert len({row["text"] for row in ROWS}) == len(ROWS) >= 100
    assert 0.4 <= sum(row["reflects"] for row in ROWS) / len(ROWS) <= 0.6


def wilson(hits, of):
    centre, z = (hits + 1.92) / (of + 3.84), 1.96
    half = z * math.sqrt(hits * (of - hits) / of + 0.96) / (of + 3.84)
    return f"{max(0.0, centre - half):.2f}", f"{min(1.0, centre + half):.2f}".replace("1.00", "1")


@pytest.mark.parametrize("name", ["development", "held out"])
def test_precision_and_recall_are_as_stated(name):
    rows = [row for row in ROWS if row["set"] == name]
    found = [bool(find_reflections(row["text"])) for row in rows]
    hits = sum(f and row["reflects"] for f, row in zip(found, rows, strict=True))
    positives = sum(row["reflects"] for row in rows)
    (line,) = [line for line in DOCS.splitlines() if line.startswith(f"| {name} | {len(rows)} |")]
    assert re.findall(r"(\d+) / (\d+)", line) == [(str(hits), str(sum(found))), (str(hits), str(positives))]
    if name == "held out":
        assert re.findall(r"([\d.]+) to ([\d.]+)\)", line) == [wilson(hits, sum(found)), wilson(hits, positives)]


def test_what_is_reported():
    text = "So it is B. Wait, he sits first. The answer is C. Hmm, no, he stands. The answer is D."
    first, second = find_reflections(text)
    assert (first.before, first.after, first.phrase) == ("B", "C", "Wait")
    assert (second.before, second.after) == ("C", "D")
    assert text[first.position :].lstrip().startswith("Wait")
    assert len(find_reflections(text)) == 2


def test_going_back_counts_twice():
    assert len(find_reflections("It is 4. Wait, it is 5. Hmm, no, it is 4.")) == 2


def test_the_reward_reports_them_on_demand():
    response = "<think>So it is 75. Hmm, I forgot the carry. So it is 85.</think>\\boxed{85}"
    assert compute_score("math", response, "85", count_reflections=True)["reflections"] == 1.0
    assert "reflections" not in compute_score("math", response, "85")


@pytest.mark.parametrize(
    "text",
    [
        "wait, so it is 5. ",
        "\n",
        " ",
        '"',
        "wait ",
        ". wait, 1 is 2",
        "(A) ",
        "1,",
        "looking ",
        "hmm",
        "no, a is b. ",
        "- 1",
    ],
)
def test_long_texts_take_linear_time(text):
    start = time.process_time()
    find_reflections(text * (400_000 // len(text)))
    assert time.process_time() - start < 2.0


PIECES = ["wait", "hmm,", "no,", "so", "it", "is", "5", "7", "A", "(B)", "option", ".", "!", "\n", "“", "”", "actually"]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(PIECES)).map(" ".join))
def test_any_text_is_read(text):
    for found in find_reflections(text):
        assert 0 <= found.position < len(text) and found.before != found.after


def test_a_tag_ends_a_sentence():
    again = "<think>so it is left. wait, i see it once more. so it is left</think><answer>A</answer>"
    assert find_reflections(again) == []
    found = find_reflections("<think>so it is left. wait, i look. so it is up</think><answer>A</answer>")
    assert [(reflection.before, reflection.after) for reflection in found] == [("it is left", "it is up")]
