import csv
import io
import json

import pandas as pd
import pytest
from PIL import Image

from eval import BenchmarkConfig
from eval.benchmarks.check import check_data
from lipo.common import LipoError
from recipes.tiny.make_data import make_frame


@pytest.fixture
def write(tmp_path):
    def write(*rows):
        path = tmp_path / "q.tsv"
        columns = list(dict.fromkeys(column for row in rows for column in row))
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, columns, delimiter="\t", restval="")
            writer.writeheader()
            writer.writerows(rows)
        return BenchmarkConfig(path)

    return write


def test_good_data(write, base64_png, tmp_path):
    buffer = io.BytesIO()
    Image.new("RGB", (300, 20)).save(buffer, "JPEG")
    (tmp_path / "b.jpg").write_bytes(buffer.getvalue())
    report = check_data(
        "x",
        write(
            {"index": 0, "image": base64_png, "question": "a?", "answer": "5", "category": "one"},
            {"index": 1, "image": "0", "question": "b?", "answer": "['x', 'y']", "category": "two"},
            {"index": 2, "image": "b.jpg", "question": "c?", "answer": "B", "A": "1", "B": "2"},
        ),
    )
    assert report.problems == {}
    assert (report.rows, report.images, dict(report.images_per_row)) == (3, 2, {1: 3})
    assert dict(report.formats) == {"PNG": 1, "JPEG": 1}
    assert report.widths[2] == 300 and report.heights[0] == 20
    assert dict(report.answers) == {
        "number (short_answer)": 1,
        "list (short_answer)": 1,
        "one of 2 options (multiple_choice)": 1,
    }
    assert report.groups == {"category": {"one": 1, "two": 1}}


def test_every_kind_of_problem_with_its_rows(write, base64_png):
    good = {"image": base64_png, "question": "?", "answer": "5"}
    report = check_data(
        "x",
        write(
            {"index": 0, **good},
            {"index": 1, **good, "image": "99"},
            {"index": 2, **good, "image": "A" * 99 + "!"},
            {"index": 3, **good, "image": "QUJD" * 40},
            {"index": 4, **good, "answer": ""},
            {"index": 5, **good, "answer": "C", "A": "1", "B": "2"},
            {"index": 6, **good, "image": "../x.png"},
            {"index": 7, **good, "image": "98"},
        ),
    )
    rows = {tuple(rows): problem for problem, rows in report.problems.items()}
    assert set(rows) == {(1, 7), (2,), (3,), (4,), (5,), (6,)}
    assert "another row" not in rows[1, 7] and "that of row" in rows[1, 7]
    assert "no base64" in rows[2,] and "cannot be decoded" in rows[3,] and "no right answer" in rows[4,]
    assert "right answer is" in rows[5,] and "image path" in rows[6,]


def test_a_right_answer_that_its_scorer_would_not_accept(tmp_path):
    path = tmp_path / "q.jsonl"
    path.write_text("".join(json.dumps({"question": "?", "answer": a}) + "\n" for a in ("4", "n^2", "\x00")))
    report = check_data("x", BenchmarkConfig(path, "math", declaration="generic"))
    assert list(report.problems.values()) == [[2]]


def test_verl_parquet(tmp_path):
    make_frame("ocr", "test", 5).to_parquet(tmp_path / "q.parquet")
    report = check_data("ocr", BenchmarkConfig(tmp_path / "q.parquet", "ocr"))
    assert (report.rows, report.images, report.problems) == (5, 5, {})
    pd.DataFrame({"prompt": ["?"]}).to_parquet(tmp_path / "bad.parquet")
    with pytest.raises(LipoError, match="no column reward_model"):
        check_data("x", BenchmarkConfig(tmp_path / "bad.parquet"))
