from dataclasses import replace

import pytest

from eval.benchmarks import find_declaration
from eval.benchmarks.declaration import Breakdown, ScorerRule
from eval.sources._declared import DeclaredReader, look_up, place_images, read_options, read_truth

GENERIC = find_declaration("generic")


def _read(row, images=(), **changes):
    return DeclaredReader(replace(GENERIC, **changes), "x").read(row, 0, images, None)


def test_columns_of_a_mapping_are_found_as_mapping_and_as_text():
    for metadata in ({"subject": "Algebra"}, "{'subject': 'Algebra'}", '{"subject": "Algebra"}'):
        assert look_up({"metadata": metadata}, ["subject", "metadata.subject"]) == "Algebra"
    assert look_up({"metadata": "no mapping"}, ["metadata.subject"]) is None
    assert look_up({"a": None, "b": "x"}, ["a", "b"]) == "x"


@pytest.mark.parametrize(
    ("row", "options"),
    [
        ({"A": "1", "B": "2"}, {"A": "1", "B": "2"}),
        ({"A": "1", "B": None, "D": "4"}, {"A": "1", "D": "4"}),
        ({"options": "['x', 'y']"}, {"A": "x", "B": "y"}),
        ({"options": ["x", 2]}, {"A": "x", "B": "2"}),
        ({"choices": {"B": "y", "a": "x"}}, {"A": "x", "B": "y"}),
        ({"choices": "[]", "A": None}, {}),
        ({"question": "open"}, {}),
        # pandas takes these for missing cells.
        ({"A": "None", "B": "NA", "C": "nan"}, {"A": "None", "B": "NA", "C": "nan"}),
    ],
)
def test_options_in_every_form(row, options):
    assert read_options(row, ["options", "choices"]) == options


def test_a_missing_option_keeps_the_letters_of_the_others():
    item = _read({"question": "?", "answer": "D", "A": "1", "B": "2", "D": "4"})
    assert item.extra_info["options"] == ["1", "2", "", "4"]
    assert "A. 1\nB. 2\nD. 4" in item.question and item.error is None


@pytest.mark.parametrize(
    ("value", "form", "truth"),
    [
        ("b", "letter", "B"),
        ("(B)", "letter", "B"),
        ("two", "option_text", "B"),
        ("A", "option_text", "C"),
        ("['5']", "text", "5"),
        ("5", "text", "5"),
        (5, "alternatives", 5),
        ("['5', 'five']", "alternatives", ["5", "five"]),
        ("[1, 2]", "list", [1, 2]),
        ("['only']", "list", ["only"]),
        ("[1/2", "text", "[1/2"),
    ],
)
def test_right_answers_in_every_form(value, form, truth):
    assert read_truth(value, form, {"A": "one", "B": "two", "C": "A"}) == truth


@pytest.mark.parametrize(
    ("value", "form", "message"),
    [
        (None, "text", "no right answer"),
        (" ", "letter", "no right answer"),
        ("D", "letter", "the options are A, B"),
        ("12 cm", "letter", "the options are A, B"),
        ("three", "option_text", "text of 0 options"),
        ("[]", "alternatives", "empty one"),
        ("['', 'a']", "list", "blank items"),
    ],
)
def test_a_right_answer_that_names_nothing_says_so(value, form, message):
    with pytest.raises(ValueError, match=message):
        read_truth(value, form, {"A": "one", "B": "two"})


def test_two_options_of_the_same_text_are_no_right_answer():
    with pytest.raises(ValueError, match="text of 2 options"):
        read_truth("x", "option_text", {"A": "x", "B": "x"})


@pytest.mark.parametrize(
    ("text", "images", "markers", "placed", "order"),
    [
        ("q", "ab", "none", "<image><image>q", "ab"),
        ("q <image 1>", "a", "none", "<image>q <image 1>", "a"),
        ("a <image> b", "a", "plain", "a <image> b", "a"),
        ("q", "a", "plain", "<image>q", "a"),
        ("a <image> b", "a", "none", "<image>a <image > b", "a"),
        ("see <image 2> and <image 1>", "ab", "numbered", "see <image> and <image>", "ba"),
        ("see <image 2>", "ab", "numbered", "<image>see <image>", "ab"),
        ("<image 1> or <image 1>", "a", "numbered", "<image> or <image>", "aa"),
        ("<image_1> <image1>", "a", "numbered", "<image> <image>", "aa"),
        ("q", "", "numbered", "q", ""),
    ],
)
def test_images_stand_where_the_text_wants_them(text, images, markers, placed, order):
    found, rest = place_images(text, tuple(images), markers)
    assert (found, "".join(rest)) == (placed, order)
    assert found.count("<image>") == len(order)


def test_a_text_that_asks_for_an_image_too_many_is_an_error():
    assert (
        "image 3 of 2" in _read({"question": "<image 3>", "answer": "1"}, (b"a", b"b"), image_markers="numbered").error
    )


def test_a_picture_benchmark_asks_nothing_without_its_picture():
    assert _read({"question": "?", "answer": "1"}, image_required=True).error == "no image"
    assert _read({"question": "?", "answer": "1"}, (b"a",), image_required=True).error is None


def test_rules_groups_and_clusters():
    rules = [
        ScorerRule("math", {"kind": ["number", 7]}),
        ScorerRule("multiple_choice", {"options": True}, "letter"),
        ScorerRule("ocr"),
    ]
    columns = replace(GENERIC.columns, cluster=["page"], extra=["unit"])
    groups = {"subject": Breakdown(["id"], r"^\w+_(\w+)_\d+$", {"Bio": "biology"}), "none": Breakdown(["absent"])}
    changes = {"scorers": rules, "columns": columns, "groups": groups}
    row = {"question": "?", "answer": "1", "kind": "number", "id": "val_Bio_3", "page": 9, "unit": "cm"}
    item = _read(row, **changes)
    assert (item.scorer, item.groups, item.cluster) == ("math", {"subject": "biology"}, "9")
    assert item.extra_info == {"unit": "cm"}
    assert _read({**row, "kind": 7}, **changes).scorer == "math"
    assert _read({**row, "kind": None}, **changes).scorer == "ocr"
    assert _read({**row, "kind": None, "A": "x", "answer": "A"}, **changes).scorer == "multiple_choice"


def test_what_a_template_cannot_do():
    item = _read({"question": "{{ 7 * 7 }}", "answer": "1"})
    assert "{{ 7 * 7 }}" in item.question
    for hostile in ("{{ question.__class__.__mro__ }}", "{{ row.values.__globals__ }}", "{{ 1 / 0 }}"):
        item = _read({"question": "q", "answer": "1", "values": "v"}, prompt=hostile)
        assert item.error is not None or "class" not in item.question
