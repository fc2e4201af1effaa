"""docs/benchmarks.md says what the declarations say."""

import csv
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


def _ours(answer):
    return (answer[3] if len(answer) > 3 else {}).get("ours", answer[1])


def test_the_counts_are_those_of_the_marked_responses():
    marks = {}
    for question in QUESTIONS:
        marks.setdefault(question["benchmark"], []).extend(_ours(a) - a[1] for a in question["answers"])
    assert f"`tests/eval/data/answers.yaml` has {sum(map(len, marks.values()))} responses" in TEXT
    assert re.findall(r"^\| (\w+) \| (\d+) \| (\d+) / (\d+) \|", TEXT, re.MULTILINE) == [
        (name, str(len(wrong)), str(sum(w > 0 for w in wrong)), str(sum(w < 0 for w in wrong)))
        for name, wrong in marks.items()
    ]


def test_every_difference_to_a_published_rule_is_listed_with_its_reason():
    line = re.compile(r"^\| (\w+) \| (.*) \| `(.*)` \| ([\d.]+) \| ([\w-]+): ([\d.]+) \| (.+) \|$", re.MULTILINE)
    with (ROOT / "tests" / "eval" / "data" / "published_verdicts.tsv").open(encoding="utf-8", newline="") as file:
        theirs = [tuple(row.values()) for row in csv.DictReader(file, delimiter="\t")]
    expected = []
    for name, row, answer in ((q["benchmark"], q["row"], answer) for q in QUESTIONS for answer in q["answers"]):
        verdicts = [v for v in theirs if v[:3] == (name, row["answer"], answer[0])]
        for *_, judge, score in [("ours", str(_ours(answer))), *verdicts]:
            if abs(float(score) - answer[1]) > 0.02:
                shown = answer[0].replace("|", "\\|")
                expected.append((name, row["answer"], shown, f"{answer[1]:g}", judge, f"{float(score):.3g}", answer[2]))
    assert line.findall(TEXT) == expected
    assert {judge for *_, judge, _, _ in expected} == {"ours", "VLMEvalKit", "lmms-eval"}
