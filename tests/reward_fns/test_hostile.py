"""The hostile corpus and fuzzing: no false accept, no exception, no delay, no file, no process left."""

import importlib
import json
import time
from pathlib import Path

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reward_fns import auto, math, structured
from reward_fns._pool import stop_pools

LINES = (Path(__file__).parent / "data" / "hostile.jsonl").read_text(encoding="utf-8").splitlines()
CORPUS = [json.loads(line) for line in LINES]
FAMILIES = ("math", "structured", "ocr", "multiple_choice", "counting_yes_no")
KEYS = {"score", "acc", "similarity", "format", "repetition", "unparsed", "timeout", "status", "pred"}


def text_of(row):
    return "".join(part * times for part, times in row["response"])


@pytest.fixture(autouse=True)
def in_empty_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    yield
    assert list(tmp_path.iterdir()) == []


def test_the_corpus_is_large():
    assert len(CORPUS) >= 300 and len({row["class"] for row in CORPUS}) >= 15


def test_every_answer_gets_its_status_within_the_limit():
    math.check("\\sum_{k=1}^{3} k", "\\sqrt{2}")
    wrong, slow = [], []
    for row in CORPUS:
        response = text_of(row)
        # Processor time of this process; the workers' is limited by its own test.
        start = time.process_time()
        result = math.compute_score("hostile", response, row["gold"], symbolic_seconds=0.5)
        if time.process_time() - start > 0.25:
            slow.append((row["class"], response[:80], time.process_time() - start))
        if result["status"] not in row["status"]:
            wrong.append((row["class"], response[:80], result["status"], row["status"]))
        if row["format"] is not None and bool(result["format"]) != row["format"]:
            wrong.append((row["class"], response[:80], "format", result["format"]))
    assert not wrong
    assert not slow


@pytest.mark.parametrize("family", FAMILIES[1:])
def test_other_checks_survive_the_corpus_and_accept_nothing_new(family):
    extra = {"options": ["84", "85", "86"]}
    gold = "B" if family == "multiple_choice" else "85"
    wrong = []
    for row in CORPUS:
        if row["gold"] != "85":
            continue
        response = text_of(row)
        start = time.process_time()
        result = auto.compute_score(family, response, gold, extra)
        spent = time.process_time() - start
        if spent > 0.25 or (result["acc"] and "equal" not in row["status"] and row["class"] != "lookalikes"):
            wrong.append((row["class"], response[:80], result["status"], spent))
    assert not wrong


@pytest.mark.parametrize("literal", ["9" * 5000, "9" + ",999" * 2000, "9" + " 999" * 2000, "1/" + "9" * 5000])
@pytest.mark.parametrize("family", ("math", "structured", "counting_yes_no", "rounded"))
def test_a_number_too_long_for_python_is_wrong_where_such_answers_are_let_through(family, literal):
    check = importlib.import_module(f"reward_fns.{family}").compute_score
    result = check("x", f"<think>a</think>\\boxed{{{literal}}}", "85", max_answer_chars=10_000)
    assert result["status"] in ("unparsed", "different", "too_long") and result["acc"] == 0.0


def test_no_process_survives():
    math.check("\\sum_{k=1}^{4} k", "\\sqrt{2}")
    stop_pools()
    assert [child for child in psutil.Process().children() if "_supervisor" in " ".join(child.cmdline())] == []


TOKENS = (
    "<think> </think> \\boxed{ } { ( ) [ ] \\{ \\} \\frac{ \\frac12 \\sqrt{ ^ ^{ _ , ; . 1 2 85 0.5 1e5 x y = < > \\le "
    "\\cup \\pm \\text{ and or % \\$ $ ° \\circ cm m/s - + * / ! | : & \\\\ \\begin{pmatrix} \\end{pmatrix} \\infty "
    "\\pi \\sin \\log_ \\sum _import_ March 2024 一 三百 \u202e \u200b \x00 <answer> </answer> <|im_end|> yes no B."
)
FRAGMENTS = st.sampled_from(TOKENS.split(" "))
RESPONSES = st.one_of(
    st.text(max_size=200),
    st.lists(FRAGMENTS, max_size=40).map("".join),
    st.lists(FRAGMENTS, max_size=40).map(lambda parts: f"<think>x</think>\\boxed{{{''.join(parts)}}}"),
    st.text(max_size=60).map(lambda text: f"<think>x</think>\\boxed{{{text}}}"),
)
GOLDS = st.sampled_from(
    ["85", "\\frac{1}{2}", "x^2+1", "(1,2]", "\\{1,2\\}", "5 cm", "50%", "2024-03-05", "10-20", "a, b", "yes"]
)


@pytest.mark.parametrize("family", ("math", "structured", "ocr", "counting_yes_no"))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(response=RESPONSES, gold=GOLDS)
def test_fuzzed_responses_never_raise_and_never_score_outside_their_range(family, response, gold):
    start = time.process_time()
    extra = {"symbolic": False} if family == "math" else {}
    result = auto.compute_score(family, response, gold, **extra)
    assert time.process_time() - start < 1.0
    assert result.keys() == KEYS
    assert 0.0 <= result["score"] <= 1.0 and 0.0 <= result["similarity"] <= 1.0
    assert (result["status"] == "equal") == (result["acc"] == 1.0)
    result["pred"].encode("utf-8")


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(min_size=1, max_size=60))
def test_a_readable_answer_equals_itself(text):
    for module in (math, structured):
        if text.strip() and module.check(text, "1").status != "unparsed":
            assert module.check(text, text).correct


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(left=st.integers(-(10**6), 10**6), right=st.integers(-(10**6), 10**6), places=st.integers(0, 3))
def test_numbers_are_equal_only_if_they_are(left, right, places):
    texts = [f"{number / 10**places:,.{places}f}" for number in (left, right)]
    for module in (math, structured):
        assert module.check(texts[0], texts[1]).correct == (left == right)
