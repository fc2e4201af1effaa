import base64
import csv
import io
import itertools

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from PIL import Image

from eval.benchmarks import find_declaration
from lipo.common import LipoError
from recipes.qwen2_5_vl_3b.data.checks import (
    MAX_PIXELS,
    Rejected,
    check_licence,
    check_text,
    decode,
    describe,
    shrink,
)
from recipes.qwen2_5_vl_3b.data.example import Example
from recipes.qwen2_5_vl_3b.data.leaks import BENCHMARKS, NEAR, LeakIndex, read_benchmarks
from recipes.qwen2_5_vl_3b.data.sources import SOURCES


def example(question="How many?", answer="3"):
    return Example("1", question, answer, lambda: b"")


@pytest.mark.parametrize(
    ("question", "answer", "task", "reason"),
    [
        ("How many?", "3", "math", None),
        ("How many?", r"\frac{1}{2}", "math", None),
        ("How many?", "", "math", "no single answer"),
        ("How many?", "nan", "structured", "no single answer"),
        (" ", "3", "math", "no question"),
        ("x" * 1501, "3", "math", "question too long"),
        ("How many?", "1" * 65, "structured", "answer too long"),
        ("How many?", "1" * 65, "ocr", None),
        ("Why?", "because the two triangles are congruent by sides", "math", "answer is prose"),
        ("Why?", "because the two triangles are congruent by sides", "ocr", None),
    ],
)
def test_text(question, answer, task, reason):
    if reason is None:
        check_text(example(question, answer), task)
    else:
        with pytest.raises(Rejected, match=reason):
            check_text(example(question, answer), task)


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"", "unreadable"), (b"not a picture", "unreadable"), ((20, 100), "too small"), ((28, 2900), "too elongated")],
)
def test_unfit_pictures(picture, data, reason):
    with pytest.raises(Rejected, match=reason):
        decode(picture(1, data) if isinstance(data, tuple) else data)


def test_a_torn_picture_and_a_bomb(picture):
    with pytest.raises(Rejected, match="unreadable"):
        decode(picture(1)[:-40])
    bomb = io.BytesIO()
    Image.new("1", (20000, 20000)).save(bomb, "PNG")
    with pytest.raises(Rejected, match="too large"):
        decode(bomb.getvalue())


def test_shrinking(picture):
    small, large = picture(1), picture(1, (2000, 1000))
    assert shrink(small) == small
    width, height = decode(shrink(large)).size
    assert width * height <= MAX_PIXELS and width / height == pytest.approx(2, rel=0.01)


def test_outlines_survive_encoding_and_size(picture):
    for seed in range(20):
        original = decode(picture(seed, (256, 192)))
        jpeg = io.BytesIO()
        original.resize((512, 384)).save(jpeg, "JPEG", quality=90)
        a, b = describe(original), describe(decode(jpeg.getvalue()))
        assert a.pixels != b.pixels
        apart = np.bitwise_count(np.frombuffer(a.outline, np.uint8) ^ np.frombuffer(b.outline, np.uint8)).sum()
        other = describe(decode(picture(seed + 100, (256, 192))))
        far = np.bitwise_count(np.frombuffer(a.outline, np.uint8) ^ np.frombuffer(other.outline, np.uint8)).sum()
        assert far > 4 * NEAR
        assert apart < far / 3


def test_leaks_by_picture_and_by_question(picture):
    index = LeakIndex()
    index.add("mme", describe(decode(picture(1))), "How many of the blue squares lie to the left of the big red one?")
    index.add("chartqa", None, "Find x.")
    other = describe(decode(picture(2)))
    assert index.find(describe(decode(picture(1))), "Anything else") == "mme (image)"
    again = io.BytesIO()
    decode(picture(1)).save(again, "BMP")
    assert index.find(describe(decode(again.getvalue())), "Anything else") == "mme (image)"
    assert index.find(other, "how many of the BLUE squares lie to the left of the big red one").startswith("mme (q")
    assert index.find(other, "Find x.") is None, "too general to be anybody's"
    assert LeakIndex().find(other, "Find x.") is None


def test_empty_pictures_are_not_all_the_same(picture):
    index = LeakIndex()
    white, black = (describe(Image.new("RGB", (64, 64), colour)) for colour in ("white", "black"))
    index.add("mme", white, "")
    assert index.find(white, "") == "mme (image)"
    assert index.find(black, "") is None


def test_benchmarks_are_read_in_both_formats(tmp_path, picture):
    row = {"prompt": [{"role": "user", "content": "<image>What does the third of the bars in this chart stand for?"}],
           "images": [{"bytes": picture(1)}]}  # fmt: skip
    pa.parquet.write_table(pa.Table.from_pylist([row]), tmp_path / "chartqa.parquet")
    with (tmp_path / "OCR_Reasoning.tsv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["index", "image", "question", "answer"], delimiter="\t")
        writer.writeheader()
        writer.writerow({"index": 7, "image": base64.b64encode(picture(2)).decode(), "question": "a", "answer": "b"})
        writer.writerow(
            {"index": 8, "image": "7", "question": "Of the two words on the sign, which comes first in time?"}
        )
    index, counts = read_benchmarks(tmp_path)
    assert {name: n for name, n in counts.items() if n} == {"chartqa": 1, "ocr_reasoning": 2}
    assert set(BENCHMARKS) <= set(counts)
    assert index.find(describe(decode(picture(1))), "") == "chartqa (image)"
    assert index.find(describe(decode(picture(2))), "") == "ocr_reasoning (image)"
    assert index.find(None, "of the two words on the sign which comes first in time") == "ocr_reasoning (question)"
    assert index.digest != LeakIndex().digest


def write_parquet(path, *rows):
    pa.parquet.write_table(pa.Table.from_pylist(list(rows)), path)


@pytest.mark.parametrize("name", BENCHMARKS)
def test_benchmarks_are_read_as_their_authors_publish_them(tmp_path, picture, name):
    """From whatever columns the declaration names, for evaluation reads those."""
    declared = find_declaration("charxiv_reasoning_rules" if name == "charxiv" else name).columns
    question = "Of the three angles in this figure, which one is the largest?"
    for number, (text, image) in enumerate(itertools.product(declared.question, declared.image)):
        folder = tmp_path / str(number)
        folder.mkdir()
        write_parquet(folder / f"{name}.parquet", {text: question, image: {"bytes": picture(1), "path": None}})
        index, counts = read_benchmarks(folder)
        assert counts[name] == 1
        assert index.find(describe(decode(picture(1))), "") == f"{name} (image)"
        assert index.find(None, question) == f"{name} (question)"


def test_pictures_come_in_many_forms(tmp_path, picture):
    encoded = [base64.b64encode(picture(i)).decode() for i in range(3)]
    path = f"images/{64 * 'a'}.png"
    (tmp_path / path).parent.mkdir()
    (tmp_path / path).write_bytes(picture(3))
    (tmp_path.parent / "outside.png").write_bytes(picture(9))
    values = [encoded[0], f"data:image/png;base64,{encoded[1]}", f"['{encoded[2]}', '{encoded[0]}']", path]
    rows = [{"question": "", "image": value, "image_2": {"bytes": picture(4)}} for value in values]
    write_parquet(tmp_path / "mme.parquet", *rows, {"image": "../outside.png"}, {"image": "7"})
    index, counts = read_benchmarks(tmp_path)
    assert counts["mme"] == len(values), "rows that gave nothing do not count"
    for seed in range(5):
        assert index.find(describe(decode(picture(seed))), "") == "mme (image)", seed
    assert index.find(describe(decode(picture(9))), "") is None


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"frage": "Which of the two?", "bild": b"x"}, "no column of questions or pictures"),
        ({"question": "", "image": None}, "no column of questions or pictures"),
        ({"question": "Which of the two?", "image": "nowhere.png"}, "no picture that can be read"),
    ],
)
def test_a_file_that_gives_nothing_is_not_taken_for_checked(tmp_path, row, message):
    write_parquet(tmp_path / "mmstar.parquet", row)
    with pytest.raises(LipoError, match=f"mmstar.parquet has {message}"):
        read_benchmarks(tmp_path)


def test_questions_on_videos_have_no_pictures(tmp_path):
    write_parquet(tmp_path / "mmvu.parquet", {"question": "What does the person do after opening the red door?"})
    index, counts = read_benchmarks(tmp_path)
    assert counts["mmvu"] == 1
    assert index.find(None, "What does the person do after opening the red door?") == "mmvu (question)"


def test_licences(tmp_path):
    assert check_licence(SOURCES["plotqa"], tmp_path, []) == "mit"
    with pytest.raises(LipoError, match="has the licence 'cc-by-nc-3"):
        check_licence(SOURCES["tqa"], tmp_path, [])
    assert check_licence(SOURCES["tqa"], tmp_path, ["cc-by-nc-3.0"]) == "cc-by-nc-3.0"
    (tmp_path / "README.md").write_text("---\nlanguage: en\nlicense: other\n---\n")
    with pytest.raises(LipoError, match="has the licence 'other'"):
        check_licence(SOURCES["plotqa"], tmp_path, [])
