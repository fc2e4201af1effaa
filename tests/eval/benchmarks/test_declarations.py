import csv
import re
from pathlib import Path

import pytest
import yaml

from eval import BenchmarkConfig
from eval.benchmarks import benchmark_names, find_declaration, load_benchmark
from eval.sources import read_items
from eval.sources._declared import DeclaredReader
from lipo.common import LipoError

QUESTIONS = yaml.safe_load((Path(__file__).parents[1] / "data" / "answers.yaml").read_text("utf-8"))
ISSUE = {
    *("mathvista", "mathvision", "mathverse", "wemath", "chartqa", "charxiv_reasoning_rules", "ocrbench"),
    *("mvbench", "videomme", "videomme_subtitles", "mlvu", "mmvu", "nextqa"),
    *("ocr_reasoning", "mme", "mmstar", "mmmu", "textvqa", "docvqa", "generic"),
}


def test_all_that_were_asked_for_are_declared():
    assert set(benchmark_names()) >= ISSUE


@pytest.mark.parametrize("name", benchmark_names())
def test_declarations_are_whole(name):
    benchmark = find_declaration(name)
    if benchmark.video:
        # The authors' own prompts ask for the letter at once; the other mode is TinyLLaVA-Video-R1's.
        assert "option" in benchmark.prompt and "<answer> </answer> tags" in benchmark.modes["reason"]
    else:
        assert "\\boxed{}" in benchmark.prompt, "the form of the answer is asked for"
    if name != "generic":
        assert benchmark.tsv or benchmark.hub
        assert benchmark.differences and re.fullmatch(r"\d{4}\.\d{5}", benchmark.paper)
        assert benchmark.tsv is None or benchmark.tsv.file.endswith(".tsv")


@pytest.mark.parametrize("name", sorted({q["benchmark"] for q in QUESTIONS}))
def test_rows_in_vlmevalkits_format_are_read(name, tmp_path, base64_png):
    """One file with all marked questions of the benchmark, their images given once and by reference after that."""
    rows = [q["row"] for q in QUESTIONS if q["benchmark"] == name]
    columns = ["index", "image", *dict.fromkeys(column for row in rows for column in row)]
    path = tmp_path / "t.tsv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, delimiter="\t", restval="")
        writer.writeheader()
        for i, row in enumerate(rows):
            writer.writerow({"index": i, "image": base64_png if i == 0 else "0", **row})
    items = read_items("x", BenchmarkConfig(path, declaration=name))
    assert [item.error for item in items] == [None] * len(rows)
    assert all(len(item.images) == 1 and item.question.count("<image>") == 1 for item in items)
    assert len({item.image_digests for item in items}) == 1
    assert all(item.data_source == "x" for item in items)


def test_details_of_single_benchmarks():
    """What the marked questions do not show."""
    reads = {}
    for question in QUESTIONS:
        name = question["benchmark"]
        row = {key: value if str(value).strip() else None for key, value in question["row"].items()}
        reads.setdefault(name, []).append(DeclaredReader(find_declaration(name), name).read(row, 0, (b"x",), None))
    vista = {(item.scorer, str(item.ground_truth)) for item in reads["mathvista"]}
    assert vista >= {("multiple_choice", "B"), ("rounded", "8"), ("rounded", "[2007, 2008]")}
    assert any("2 decimal places" in item.question for item in reads["mathvista"])
    assert any("1 decimal place." in item.question for item in reads["mathvista"])
    assert "(C) green\nPut" in reads["mathvista"][0].question and "B. 8/11\n" in reads["mathvista"][1].question
    verse = reads["mathverse"]
    assert "Answer the question that the image shows." in verse[1].question
    assert verse[0].groups == {
        "version": "Text Dominant",
        "subject": "Plane Geometry",
        "subfield": "Angle",
        "question type": "multi-choice",
    }
    assert verse[0].cluster == "3"
    assert reads["wemath"][0].groups["steps"] == "one step" and reads["wemath"][1].groups["steps"] == "three steps"
    assert reads["mme"][1].groups == {"category": "artwork", "kind": "perception"}
    assert reads["mmmu"][0].groups["subject"] == "Accounting"
    assert reads["mmmu"][0].question.startswith("<image> Which")
    assert "'a price'" in reads["ocr_reasoning"][0].question


def test_only_the_rows_of_the_benchmark_are_used(tmp_path, base64_png):
    path = tmp_path / "MMMU_DEV_VAL.tsv"
    header = "index\tquestion\tA\tB\tanswer\tsplit\timage\n"
    rows = [f"{i}\tq\tx\ty\tA\t{split}\t{base64_png}\n" for i, split in enumerate(("dev", "validation", "dev"))]
    path.write_text(header + "".join(rows))
    assert [item.index for item in read_items("mmmu", BenchmarkConfig(path))] == [1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scorers": [{"use": "maths"}]}, "no scorer 'maths'"),
        ({"scorers": [{"use": "math", "when": {"options": True}}]}, "without a scorer"),
        ({"scorers": [{"use": "math", "answer": "letters"}]}, "answer is 'letters'"),
        ({"prompt": "{{ question"}, "no template"),
        ({"prompt": "{{ hint }}"}, "asks for 'hint'"),
        ({"groups": {"a": {"column": ["x"], "pattern": "("}}}, "groups.a.pattern"),
        ({"groups": {"a": {"column": ["x"], "pattern": "x"}}}, "one group"),
        ({"colums": {}}, "did you mean 'columns'"),
        ({"published_score": "mmee"}, "mme"),
    ],
)
def test_a_declaration_that_cannot_work_is_refused(tmp_path, change, message):
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({"title": "t", "about": "a", "prompt": "q", "scorers": [{"use": "math"}]} | change))
    with pytest.raises(LipoError, match=message):
        load_benchmark(path)
