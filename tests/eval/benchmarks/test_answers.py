"""Every declared benchmark against responses that were marked by hand."""

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

QUESTIONS = yaml.safe_load((Path(__file__).parents[1] / "data" / "answers.yaml").read_text("utf-8"))


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
    marks = {answer[0]: answer[1] for answer in question["answers"]}
    found = dict(zip(marks, score(question), strict=True))
    assert found == {text: pytest.approx(mark, abs=1e-3) for text, mark in marks.items()}


def test_there_are_enough_of_both_kinds_for_every_benchmark():
    marks = [(q["benchmark"], mark) for q in QUESTIONS for _, mark, *_ in q["answers"]]
    assert len(marks) >= 200
    # Those about videos are judged by multiple_choice alone, as MMStar is.
    videos = {name for name in benchmark_names() if find_declaration(name).video}
    for name in set(benchmark_names()) - {"generic", "mathvision_mini"} - videos:
        assert {mark > 0 for benchmark, mark in marks if benchmark == name} == {True, False}, name
