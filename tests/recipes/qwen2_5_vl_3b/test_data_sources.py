import pytest
from PIL import Image

from lipo.common import LipoError
from recipes.qwen2_5_vl_3b.data.checks import decode
from recipes.qwen2_5_vl_3b.data.draw_table import draw_table
from recipes.qwen2_5_vl_3b.data.example import Example
from recipes.qwen2_5_vl_3b.data.files import image_at
from recipes.qwen2_5_vl_3b.data.sources import SOURCES

FIRST = {
    "mmk12": ("m0", "<image>How large is angle 0?", "0°"),
    "geometry3k": ("0", "<image>Find x.", r"\sqrt{0}"),
    "mathvision_train": ("0", "\nWhich one is 0?\n(A) 1\n(B) 2\n(C) 3", "A"),
    "tat_dqa": ("q0a", "What was revenue in 0? Answer in millions.", "12.5"),
    "wtq": ("nt-0", "who came in place 0?", "Doe| Jane, Roe"),
    "tabfact": (
        "2-0.html.csv/0",
        'Does the table support this statement: "ann has 0 points"? Answer yes or no.',
        "yes",
    ),
    "plotqa": ("0", "What is the value in 2000?", "10.1235"),
    "tqa": ("L_0/DQ_1", "Which part is 0?\n(A) root\n(B) stem", "B"),
    "chartgalaxy": ("train_qa/0", "Which bar is 0?", "bar 0"),
    "ocr": ("train_labels/words/0.jpg", "Read the text in the image. Give it exactly as it is written.", 'Word "0"'),
}


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_every_source_is_read_in_its_own_format(make_source, name):
    examples = list(SOURCES[name].read(make_source(name)))
    first = examples[0]
    assert (first.identity, first.question, first.answer) == FIRST[name]
    assert isinstance(decode(first.load()), Image.Image)
    assert len({example.identity for example in examples}) == len(examples) >= 6
    assert SOURCES[name].name == name


def test_tat_dqa_keeps_percent_and_drops_several_values(make_source):
    examples = {e.identity: e for e in SOURCES["tat_dqa"].read(make_source("tat_dqa"))}
    assert examples["q1b"].answer == "3.5%"
    assert examples["q1c"].answer == ""


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_an_empty_directory_is_named(tmp_path, name):
    with pytest.raises(LipoError, match="give the directory of the source"):
        list(SOURCES[name].read(tmp_path))


def test_a_path_out_of_the_source_is_refused(tmp_path):
    (tmp_path / "secret.png").write_bytes(b"x")
    (tmp_path / "source").mkdir()
    with pytest.raises(ValueError, match="leaves the source's directory"):
        image_at(tmp_path / "source", "../secret.png")()


def test_tables_are_drawn_the_same_every_time():
    rows = [["name", "points"], ["ann", "3"], ["bob"]]
    picture = draw_table(rows, "season")
    assert picture == draw_table(rows, "season") != draw_table(rows)
    assert decode(picture).size[0] > 100
    for bad in ([], [["x" * 41]], [["a"]] * 61, [["a"] * 15]):
        with pytest.raises(ValueError, match="table"):
            draw_table(bad)


def test_examples_do_not_hold_pictures(make_source):
    """Streaming: an example is text and a way to the picture."""
    example = next(SOURCES["plotqa"].read(make_source("plotqa")))
    assert isinstance(example, Example) and callable(example.load)
