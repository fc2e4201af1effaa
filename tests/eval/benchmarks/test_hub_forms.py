"""Rows as the benchmarks' Hugging Face datasets have them, read from parquet folders."""

import datasets
import pytest

from eval import BenchmarkConfig
from eval.benchmarks import find_declaration
from eval.sources import read_items

ROWS = {
    "mathvision": (
        {
            "question": "Which is next? <image1>",
            "options": ["A", "B"],
            "image": "images/1.jpg",
            "answer": "B",
            "level": 2,
        },
        {"subject": "logic"},
        ("multiple_choice", "B", {"subject": "logic", "level": "2"}),
    ),
    "mathverse": (
        {
            "question": "Find x.\nChoices:\nA:1\nB:2",
            "question_type": "multi-choice",
            "answer": "B",
            "problem_index": "7",
        },
        {"problem_version": "Vision Intensive", "metadata": {"subject": "Functions", "subfield": "Slope"}},
        ("multiple_choice", "B", {"version": "Vision Intensive", "subject": "Functions", "subfield": "Slope"}),
    ),
    "ocrbench": (
        {"question": "write out the formula", "answer": ["x ^ 2", "x^2"], "dataset": "HME100k"},
        {"question_type": "Handwritten Mathematical Expression Recognition"},
        ("contains", ["x ^ 2", "x^2"], {"data set": "HME100k"}),
    ),
    "docvqa": (
        {
            "question": "when?",
            "answers": ["1998", "in 1998"],
            "question_types": "handwritten",
            "ucsf_document_id": "xy",
        },
        {},
        ("ocr", ["1998", "in 1998"], {"type": "handwritten"}),
    ),
    "textvqa": (
        {"question": "what?", "answers": ["a", "b"] * 5, "image_id": "f1"},
        {},
        ("vqa_accuracy", ["a", "b"] * 5, {}),
    ),
    "charxiv_reasoning_rules": (
        {"reasoning_q": "how many?", "reasoning_a": "4", "reasoning_q_source": 3, "category": "cs", "figure_path": "f"},
        {},
        ("structured", "4", {"answer": "number in chart", "category": "cs"}),
    ),
    "chartqa": (
        {"question": "how many?", "answer": "4", "type": "human_test"},
        {},
        ("structured", "4", {"source": "human"}),
    ),
    "mme": (
        {"question": "Is it?", "answer": "No", "category": "OCR", "question_id": "OCR/1.png"},
        {},
        ("counting_yes_no", "No", {"category": "OCR", "kind": "perception"}),
    ),
    "mmstar": (
        {"question": "Which?\nOptions: A: x, B: y", "answer": "A", "category": "math", "l2_category": "geometry"},
        {},
        ("multiple_choice", "A", {"ability": "math", "skill": "geometry"}),
    ),
    "wemath": (
        {"question": "Which?", "option": "A. 1; B. 2", "answer": "A", "key": "2steps_multi", "ID": "3"},
        {"knowledge concept": "Angles"},
        ("multiple_choice", "A", {"steps": "two steps", "concept": "Angles"}),
    ),
}


def _write(folder, rows, images, split):
    data = datasets.Dataset.from_list(rows)
    for name in images:
        data = data.cast_column(name, datasets.Image())
    (folder / "data").mkdir(parents=True)
    data.to_parquet(folder / "data" / f"{split}-00000-of-00001.parquet")


@pytest.mark.parametrize("name", ROWS)
def test_a_row_of_the_hubs_dataset(name, tmp_path):
    row, more, (scorer, truth, groups) = ROWS[name]
    image = "decoded_image" if name == "mathvision" else "image"
    _write(
        tmp_path / "d",
        [{**row, **more, image: {"bytes": b"png", "path": None}}],
        [image],
        find_declaration(name).hub.split,
    )
    (item,) = read_items(name, BenchmarkConfig(tmp_path / "d"))
    assert item.error is None and list(item.images) == [b"png"]
    assert (item.scorer, item.ground_truth) == (scorer, truth)
    assert groups.items() <= item.groups.items()
    if name in ("mme", "docvqa", "textvqa", "wemath", "mathverse", "charxiv_reasoning_rules"):
        assert not item.cluster.startswith("images")
    if name == "wemath":
        assert "A. 1; B. 2" in item.question


def test_mmmu_with_several_images_in_questions_and_options(tmp_path):
    rows = [
        {
            "id": "validation_Art_1",
            "question": "Compare <image 2> with <image 1>.",
            "options": "['<image 3>', 'none', \"it's open\"]",
            "answer": "C",
            "question_type": "multiple-choice",
            **{f"image_{i}": {"bytes": f"{i}".encode(), "path": None} if i < 4 else None for i in range(1, 8)},
        },
        {
            "id": "validation_Art_2",
            "question": "How many in <image 1>?",
            "options": "[]",
            "answer": "['5', 'five']",
            "question_type": "open",
            **{f"image_{i}": {"bytes": b"x", "path": None} if i == 1 else None for i in range(1, 8)},
        },
    ]
    _write(tmp_path / "d", rows, [f"image_{i}" for i in range(1, 8)], "validation")
    choice, open_ = read_items("mmmu", BenchmarkConfig(tmp_path / "d"))
    assert choice.error is None and open_.error is None
    assert list(choice.images) == [b"2", b"1", b"3"]
    assert choice.question.startswith("Compare <image> with <image>.\nA. <image>\nB. none\nC. it's open\n")
    assert (choice.scorer, choice.ground_truth, choice.groups) == ("multiple_choice", "C", {"subject": "Art"})
    assert (open_.scorer, open_.ground_truth, list(open_.images)) == ("short_answer", ["5", "five"], [b"x"])
