"""Every declared benchmark against responses that were marked by hand, and against the published rules' verdicts."""

import csv
from pathlib import Path

import pytest
import yaml

from eval import BenchmarkConfig
from eval._keys import Sample
from eval.benchmarks import benchmark_names, find_declaration
from eval.scoring import score_answers
from eval.sources._declared import DeclaredReader
from eval.sources._reader import refused_truth
from eval.store import Answer

DATA = Path(__file__).parents[1] / "data"
QUESTIONS = yaml.safe_load((DATA / "answers.yaml").read_text("utf-8"))


def read(question):
    name = question["benchmark"]
    row = {column: value if str(value).strip() else None for column, value in question["row"].items()}
    images = (b"image",)
    return DeclaredReader(find_declaration(name), name).read(row, 0, images, None)


def score(question):
    name = question["benchmark"]
    item = read(question)
    assert item.error is None, item.error
    config = BenchmarkConfig(Path(name), declaration=name, measure=find_declaration(name).measure)
    assert refused_truth(item, config) is None
    samples = [Sample(str(i), item, i, None) for i in range(len(question["answers"]))]
    answers = {
        str(i): Answer(
            key=str(i), item=0, sample=i, response=text, tokens=1, reasoning_tokens=0, prompt_tokens=1, finish="stop"
        )
        for i, (text, *_) in enumerate(question["answers"])
    }
    return [row.correct for row in score_answers(samples, answers, config)]


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda q: f"{q['benchmark']}-{q['row']['question'][:20]}")
def test_scores_are_those_of_a_careful_person(question):
    marks = {answer[0]: (answer[3] if len(answer) > 3 else {}).get("ours", answer[1]) for answer in question["answers"]}
    found = dict(zip(marks, score(question), strict=True))
    assert found == {text: pytest.approx(mark, abs=1e-3) for text, mark in marks.items()}


def test_published_rules_decide_alike_but_where_a_reason_is_given():
    """``benchmarks/benchmark_rules.py`` ran the rules and wrote their verdicts."""
    with (DATA / "published_verdicts.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    theirs = {}
    for row in rows:
        verdicts = theirs.setdefault((row["benchmark"], row["answer"], row["response"]), {})
        assert row["peer"] not in verdicts
        verdicts[row["peer"]] = float(row["score"])
    for question in QUESTIONS:
        name, truth = question["benchmark"], question["row"]["answer"]
        for (response, _, *reason), ours in zip(question["answers"], score(question), strict=True):
            verdicts = theirs.pop((name, truth, response))
            differ = any(abs(verdict - ours) > 0.02 for verdict in verdicts.values())
            assert differ == bool(reason), (name, response, ours, verdicts)
            expected = {"VLMEvalKit"} if name == "ocr_reasoning" else {"VLMEvalKit", "lmms-eval"}
            assert set(verdicts) == expected, "lmms-eval has no OCR-Reasoning; it has all others"
    assert theirs == {}, "verdicts of responses that are no longer there"


def test_there_are_enough_of_both_kinds_for_every_benchmark():
    marks = [(q["benchmark"], mark) for q in QUESTIONS for _, mark, *_ in q["answers"]]
    assert len(marks) >= 200
    # Those about videos are judged by multiple_choice alone, as MMStar is.
    videos = {name for name in benchmark_names() if find_declaration(name).video}
    for name in set(benchmark_names()) - {"generic", "mathvision_mini"} - videos:
        assert {mark > 0 for benchmark, mark in marks if benchmark == name} == {True, False}, name
