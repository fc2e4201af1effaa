import csv
import json
import tempfile
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.sources._rows import BadRow, guess_format, stream_rows
from lipo.common import LipoError


def _read(path, kind=None, **options):
    return list(stream_rows(path, kind or guess_format(path), **options))


def test_a_table_as_csv_libraries_write_it(tmp_path):
    path = tmp_path / "t.tsv"
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.writer(file, delimiter="\t")
        writer.writerows([["index", "question"], ["0", 'two\nlines, a\ttab and "quotes"'], ["1", " "], ["2", "None"]])
    assert _read(path) == [
        {"index": "0", "question": 'two\nlines, a\ttab and "quotes"'},
        {"index": "1", "question": None},
        {"index": "2", "question": "None"},
    ]


def test_long_fields_are_read_without_changing_the_limit_for_others(tmp_path):
    path = tmp_path / "t.tsv"
    path.write_text("index\timage\n0\t" + "A" * 500_000 + "\n")
    limit = csv.field_size_limit()
    rows = stream_rows(path, "tsv")
    assert len(next(rows)["image"]) == 500_000
    assert csv.field_size_limit() == limit


def test_inches_and_windows_line_ends(tmp_path):
    path = tmp_path / "t.tsv"
    path.write_bytes(b'a\tb\r\n1\t5" pipe\r\n2\tplain\r\n3\t"two\r\nlines"\r\n')
    assert [row["b"] for row in _read(path)] == ['5" pipe', "plain", "two\r\nlines"]


@given(st.lists(st.lists(st.text(st.characters(codec="utf-8"), max_size=12), min_size=2, max_size=2), max_size=6))
def test_what_a_csv_library_writes_is_read_back(rows):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.tsv"
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, delimiter="\t").writerows([["a", "b"], *rows])
        expected = [{"a": a or None, "b": b or None} for a, b in rows if a or b]
        found = _read(path)
        assert [{k: None if v is None or not v.strip() else v for k, v in row.items()} for row in expected] == found


def test_rows_of_another_width_are_rows_with_an_error(tmp_path):
    path = tmp_path / "t.tsv"
    path.write_text("a\tb\n1\t2\n\n3\n4\t5\t6\n7\t8\n")
    good, short, long, last = _read(path)
    assert (good, last) == ({"a": "1", "b": "2"}, {"a": "7", "b": "8"})
    assert [type(row) for row in (short, long)] == [BadRow, BadRow] and "3 cells" in long.error


def test_json_lines(tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_text('{"a": 1, "b": NaN, "c": ""}\n\n[1]\n{"a":\n' + json.dumps({"a": ["x"]}) + "\n")
    row, no_object, broken, last = _read(path)
    assert row == {"a": 1, "b": None, "c": None} and last == {"a": ["x"]}
    assert "no JSON object" in no_object.error and "no JSON:" in broken.error


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.tsv", b"", "is empty"),
        ("t.tsv", b"a\ta\n1\t2\n", "two columns called 'a'"),
        ("t.tsv", b"a\n\xff\xfe\n", "not UTF-8"),
        ("t.tsv", b'a\tb\n1\t2\n3\t"never closed\n5\t6\n', "cannot read row"),
        ("t.parquet", b"no parquet", "cannot read"),
        ("t.xlsx", b"", "no known format"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(LipoError, match=message):
        _read(tmp_path / name)


@pytest.fixture(scope="module")
def dataset():
    import datasets

    images = [{"bytes": b"one", "path": "1.png"}, {"bytes": b"two", "path": None}]
    data = datasets.Dataset.from_dict({"q": ["a", "b"], "image": images, "images": [images, []]})
    return data.cast_column("image", datasets.Image()).cast_column("images", datasets.List(datasets.Image()))


ROWS = [("a", b"one", 2), ("b", b"two", 0)]


def _brief(rows):
    return [(row["q"], row["image"]["bytes"], len(row["images"])) for row in rows]


def test_a_folder_of_parquet_files_as_the_hub_has_it(tmp_path, dataset):
    (tmp_path / "data").mkdir()
    dataset.to_parquet(tmp_path / "data" / "testmini-00000-of-00001.parquet")
    dataset.select([0]).to_parquet(tmp_path / "data" / "test-00000-of-00001.parquet")
    assert _brief(_read(tmp_path, split="testmini")) == ROWS
    assert _brief(_read(tmp_path, split="test")) == ROWS[:1]
    assert _brief(_read(tmp_path, usual_split="test", usual_subset="no such")) == ROWS[:1]
    with pytest.raises(LipoError, match=r"several splits.*testmini"):
        _read(tmp_path)
    with pytest.raises(LipoError, match="no split 'val'"):
        _read(tmp_path, split="val")


def test_a_subset_as_the_hubs_card_declares_it(tmp_path, dataset):
    for name, rows in (("one", [0]), ("two", [0, 1])):
        (tmp_path / name).mkdir()
        dataset.select(rows).to_parquet(tmp_path / name / "test-00000-of-00001.parquet")
    configs = "".join(
        f"- config_name: {n}\n  data_files:\n  - split: test\n    path: {n}/test-*\n" for n in ("one", "two")
    )
    (tmp_path / "README.md").write_text(f"---\nconfigs:\n{configs}---\n# Quiz\n")
    assert _brief(_read(tmp_path, usual_split="test", usual_subset="two")) == ROWS


def test_what_save_to_disk_writes(tmp_path, dataset):
    import datasets

    dataset.save_to_disk(tmp_path / "one")
    assert _brief(_read(tmp_path / "one", split="whatever")) == ROWS
    datasets.DatasetDict({"val": dataset}).save_to_disk(tmp_path / "several")
    assert _brief(_read(tmp_path / "several", split="val")) == ROWS


def test_a_folder_of_images_with_metadata(tmp_path):
    (tmp_path / "a.png").write_bytes(b"png")
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "a.png", "question": "q?", "answer": "x"}\n')
    (row,) = _read(tmp_path)
    assert _read(tmp_path, usual_split="test") == [row], "the only split will do"
    assert (row["question"], row["image"]["path"]) == ("q?", str(tmp_path / "a.png"))


def test_a_dataset_with_a_script_is_not_run(tmp_path):
    folder = tmp_path / "evil"
    folder.mkdir()
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(LipoError, match="cannot read the dataset"):
        _read(folder)
    assert not (tmp_path / "ran").exists()


def test_memory_holds_rows_not_files(tmp_path):
    path = tmp_path / "t.tsv"
    with path.open("w") as file:
        file.write("index\timage\n")
        for i in range(30):
            file.write(f"{i}\t{'A' * 2_000_000}\n")
    tracemalloc.start()
    assert sum(len(row["image"]) for row in stream_rows(path, "tsv")) == 60_000_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 25_000_000
