"""docs/benchmarks.md says what the declarations say."""

import re
from pathlib import Path

import pytest
import yaml

from eval.benchmarks import load_benchmark
from eval.benchmarks.declaration import Benchmark, Breakdown, Columns, Hub, ScorerRule, Table, Video
from eval.benchmarks.reference import benchmark_table, differences
from lipo.common import reference_table

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs" / "benchmarks.md").read_text("utf-8")
QUESTIONS = yaml.safe_load((ROOT / "tests" / "eval" / "data" / "answers.yaml").read_text("utf-8"))


def test_the_table_and_the_differences_are_the_declarations():
    assert f"\n{benchmark_table()}\n" in TEXT
    assert f"\n{differences()}\n" in f"{TEXT}\n"


@pytest.mark.parametrize("part", [Benchmark, Columns, ScorerRule, Breakdown, Video, Table, Hub])
def test_every_key_of_a_declaration_is_described(part):
    assert f"\n{reference_table(part)}\n" in TEXT


def test_the_example_is_ten_lines_and_works(tmp_path):
    example = TEXT.partition("## Adding one in ten lines\n\n")[2].partition("\n\n")[0]
    lines = [line.removeprefix("    ") for line in example.splitlines()]
    assert len(lines) == 10
    (tmp_path / "receipts.yaml").write_text("\n".join(lines))
    assert load_benchmark(tmp_path / "receipts.yaml").title == "Receipts"


def test_the_counts_are_those_of_the_marked_responses():
    marks = {}
    for question in QUESTIONS:
        marks[question["benchmark"]] = marks.get(question["benchmark"], 0) + len(question["answers"])
    assert f"`tests/eval/data/answers.yaml` has {sum(marks.values())} responses" in TEXT
    assert dict(re.findall(r"^\| (\w+) \| (\d+) \| 0 / 0 \|", TEXT, re.MULTILINE)) == {
        name: str(count) for name, count in marks.items()
    }


def test_every_difference_to_a_published_rule_is_listed_with_its_reason():
    listed = re.findall(r"^\| (\w+) \| .* \| `(.*)` \| [\d.]+ \| ([\w-]+): [\d.]+ \| (.*) \|$", TEXT, re.MULTILINE)
    reasons = {
        (q["benchmark"], answer[0].replace("|", "\\|"), answer[2])
        for q in QUESTIONS
        for answer in q["answers"]
        if len(answer) == 3
    }
    assert {(name, response, why) for name, response, _, why in listed} == reasons
    assert {judge for _, _, judge, _ in listed} == {"VLMEvalKit", "lmms-eval"}
