import base64
import tracemalloc
from dataclasses import replace

import pandas as pd
import pytest
from PIL import Image

from eval import BenchmarkConfig
from eval.sources import ImageStore, read_items
from lipo.common import LipoError
from recipes.tiny.make_data import make_frame


@pytest.fixture
def write(tmp_path):
    def write(rows, name="q.parquet"):
        path = tmp_path / name
        (rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(rows)).to_parquet(path)
        return BenchmarkConfig(path, "math")

    return write


def _row(**changes):
    row = {"prompt": [{"role": "user", "content": "1+1?"}], "images": [], "reward_model": {"ground_truth": "2"}}
    return {**row, **changes}


def test_reads_what_the_tiny_recipe_writes(write):
    items = read_items("math", write(make_frame("math", "test", 3)))
    assert [item.index for item in items] == [0, 1, 2]
    assert all(item.error is None and len(item.images) == 1 and item.ground_truth for item in items)
    assert items[0].messages[0][0] == "user" and items[0].messages[0][1].startswith("<image>")
    assert items[0].data_source == "tiny/math" and items[1].extra_info["index"] == 1


def test_images_may_be_paths_below_the_file(write, tmp_path, png):
    (tmp_path / "img").mkdir()
    (tmp_path / "img" / "a.png").write_bytes(png(Image.new("RGB", (4, 4))))
    prompt = [{"role": "user", "content": "<image>what?"}]
    (item,) = read_items("x", write([_row(prompt=prompt, images=["img/a.png"])]))
    assert item.error is None and item.images[0].startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"images": ["missing.png"]}, "no image at"),
        ({"images": ["../secret.png"]}, "leaves"),
        ({"images": ["/etc/hostname"]}, "leaves"),
        ({"prompt": [{"role": "user", "content": "<image><image>?"}]}, "0 image"),
        ({"prompt": []}, "neither text nor a list"),
        ({"prompt": [{"role": "user"}]}, "lacks role or content"),
        ({"reward_model": {"ground_truth": None}}, "no reward_model.ground_truth"),
    ],
)
def test_a_bad_row_is_an_item_with_an_error(write, changes, error):
    good, bad = read_items("x", write([_row(), _row(**changes)]))
    assert good.error is None
    assert error in bad.error


def test_image_root_allows_other_folders(write, tmp_path, png):
    (tmp_path / "a.png").write_bytes(png(Image.new("RGB", (4, 4))))
    (tmp_path / "sub").mkdir()
    config = write([_row(prompt="<image>?", images=["a.png"]), _row(prompt="?")], "sub/q.parquet")
    assert "no image at" in read_items("x", config)[0].error
    assert read_items("x", replace(config, image_root=tmp_path))[0].error is None


def test_limit_takes_the_first_rows(write):
    config = replace(write([_row(reward_model={"ground_truth": str(i)}) for i in range(600)]), limit=300)
    assert [item.ground_truth for item in read_items("x", config)] == [str(i) for i in range(300)]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"question": "1+1?"}], "no column prompt and no column reward_model"),
        ([{"prompt": "1+1?"}], "no column reward_model"),
        (pd.DataFrame({"prompt": [], "reward_model": []}), "no rows"),
        ([_row(reward_model={"style": "rule"})], "no row of .* can be used; the first: no reward_model.ground_truth"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(write, rows, message):
    with pytest.raises(LipoError, match=message):
        read_items("x", write(rows))


def test_a_file_that_is_not_parquet_is_refused(tmp_path):
    (tmp_path / "q.parquet").write_text("question,answer")
    with pytest.raises(LipoError, match="cannot read"):
        read_items("x", BenchmarkConfig(tmp_path / "q.parquet", "math"))
    with pytest.raises(LipoError, match="no file"):
        read_items("x", BenchmarkConfig(tmp_path / "none.parquet", "math"))


@pytest.mark.parametrize("column", ["image", "image_1"])
def test_images_of_large_files_stay_out_of_memory(tmp_path, monkeypatch, column):
    path = tmp_path / "q.tsv"
    with path.open("w") as file:
        file.write(f"index\tquestion\tanswer\t{column}\n")
        for i in range(30):
            file.write(f"{i}\t?\t{i}\t{base64.b64encode(bytes([i]) * 1_500_000).decode()}\n")
    monkeypatch.setattr("eval.sources._reader.ImageStore", lambda: ImageStore(in_memory=1 << 20))
    tracemalloc.start()
    items = read_items("x", BenchmarkConfig(path))
    assert [set(item.images[0]) for item in items] == [{i} for i in range(30)]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 30_000_000, "45 MB of images were in memory at once"


def test_a_prompt_may_ask_for_a_column_of_images(tmp_path):
    prompt = "{{ question }}{% if row.image_2 %} Compare.{% endif %}"
    (tmp_path / "own.yaml").write_text(f"{{title: X, about: x, prompt: '{prompt}', scorers: [{{use: math}}]}}")
    image = base64.b64encode(b"i" * 90).decode()
    (tmp_path / "q.tsv").write_text(f"question\tanswer\timage_1\timage_2\n?\t1\t{image}\t{image}\n?\t2\t{image}\t\n")
    two, one = read_items("x", BenchmarkConfig(tmp_path / "q.tsv", declaration=str(tmp_path / "own.yaml")))
    assert (two.question, len(two.images)) == ("<image><image>? Compare.", 2)
    assert (one.question, len(one.images)) == ("<image>?", 1)


def test_a_limit_stops_reading_but_not_before_images_that_are_still_owed(tmp_path):
    path = tmp_path / "q.tsv"
    image = base64.b64encode(b"i" * 90).decode()
    path.write_text(f"index\tquestion\tanswer\timage\n0\t?\t1\t7\n5\t?\t2\t{image}\n7\t?\t3\t{image}\n8\tx\n")
    (item,) = read_items("x", BenchmarkConfig(path, limit=1))
    assert (item.error, list(item.images)) == (None, [b"i" * 90])


def test_several_images_and_references_in_one_row(tmp_path):
    path = tmp_path / "q.tsv"
    first, second = (base64.b64encode(c * 90).decode() for c in (b"a", b"b"))
    rows = [f"0\t?\t1\t['{first}', '{second}']", "1\t?\t2\t0", "2\t?\t3\tnowhere", "3\t?\t4\t2"]
    path.write_text("\n".join(["index\tquestion\tanswer\timage", *rows, ""]))
    items = read_items("x", BenchmarkConfig(path))
    assert [list(item.images) for item in items[:2]] == [[b"a" * 90, b"b" * 90]] * 2
    assert "row 'nowhere'" in items[2].error and "row '2'" in items[3].error
