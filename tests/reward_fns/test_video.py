import json
import time
from pathlib import Path

import pytest

from lipo.common import LipoError
from reward_fns.video import VideoOptions, check, compute_score, format_and_length

EXTRA = {"options": ["a dog", "a cat", "two birds", "a car"]}
CORPUS = (Path(__file__).parent / "data" / "hostile.jsonl").read_text(encoding="utf-8").splitlines()


def response(length, answer="B"):
    return f"<think>{'a' * length}</think><answer>{answer}</answer>"


def score(text, gold="B", **kwargs):
    return compute_score("nextqa", text, gold, EXTRA, **kwargs)["score"]


# F = 0.5 + 0.5 · min(L / 1200, 1); right 1 + F, wrong -F
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (response(300), 1.625),
        (response(600), 1.75),
        (response(1200), 2.0),
        (response(5000), 2.0),
        (response(300, "C"), -0.625),
        (response(1200, "C"), -1.0),
        (response(2400, "C"), -1.0),
        ("<answer>B</answer>", 1.0),
        ("<answer>C</answer>", -2.0),
        ("B", -2.0),
        ("", -2.0),
        (response(300) + " or C", 1.0),
        (response(300, "C") + " or B", -2.0),
        (response(300, "B</answer><answer>C"), -2.0),
        (response(300, "B or C"), -0.625),
        ("<think></think><answer>B</answer>", 1.0),
    ],
)
def test_published_rule_by_hand(text, expected):
    assert score(text) == pytest.approx(expected)


def test_length_is_that_of_the_thinking_alone():
    padded = f"  <think>\n {'a' * 300} \n</think>\n\n<answer> {' ' * 500} B </answer><|im_end|>"
    assert score(padded) == pytest.approx(1.625)
    assert score(response(300).replace("think>", "plan>"), think_tag="plan") == pytest.approx(1.625)


def test_settings_of_the_published_rule():
    assert score(response(50), full_length=100) == pytest.approx(1.75)
    assert score("B", unformatted_wrong=-1.5) == -1.5
    loop = f"<think>{'so it is a cat. ' * 100}</think><answer>B</answer>"
    assert score(loop) == pytest.approx(2.0)
    assert score(loop, max_repetition=0.5) == 1.0


@pytest.mark.parametrize(
    ("text", "expected"),
    [(response(10), 1.0), (response(3000), 1.0), (response(10, "C"), 0.1), ("<answer>B</answer>", 0.9), ("C", 0.0)],
)
def test_accuracy_and_format_alone_does_not_look_at_length(text, expected):
    assert score(text, combination="weighted") == pytest.approx(expected)


def test_format_reward_can_be_boxed():
    text = "<think>" + "a" * 600 + "</think>\\boxed{B}"
    assert score(text, answer_style="boxed") == pytest.approx(1.75)


def test_counts_and_directions():
    assert check("three", 3, VideoOptions(answers="counting_yes_no")).correct
    assert check("a cat", "B", None, EXTRA).correct
    assert score("<think>x</think><answer>3 or 4</answer>", 3, answers="counting_yes_no", full_length=1) == -1.0
    with pytest.raises(LipoError, match="answers"):
        score("x", answers="poetry")


def test_format_and_length_without_thinking_tag():
    assert format_and_length("<answer>B</answer>", True, VideoOptions(think_tag="")) == 0.5
    assert format_and_length(response(1200), False, VideoOptions()) == 0.0


@pytest.mark.parametrize("style", ["tag", "boxed"])
def test_hostile_corpus_earns_nothing_beyond_the_range(style):
    for line in CORPUS:
        text = "".join(part * times for part, times in json.loads(line)["response"])
        start = time.process_time()
        result = compute_score("nextqa", text, "D", EXTRA, answer_style=style)
        assert time.process_time() - start < 0.25
        assert result["acc"] == 0.0
        assert -2.0 <= result["score"] <= -0.5
