import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.sources._literals import read_literal


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("['a', 'b']", ["a", "b"]),
        ('["a", null]', ["a", None]),
        ("(1, 2.5)", [1, 2.5]),
        ("{'subject': 'Algebra'}", {"subject": "Algebra"}),
        (" [] ", []),
        ("[2, 3", "[2, 3"),
        ("[__import__('os').system('touch x')]", "[__import__('os').system('touch x')]"),
        ("[" * 60 + "]" * 60, "[" * 60 + "]" * 60),
        ("[1/2]", "[1/2]"),
        ("plain", "plain"),
        ("", ""),
        (None, None),
        (["a"], ["a"]),
    ],
)
def test_lists_are_read_and_nothing_is_run(text, value):
    assert read_literal(text) == value


@given(st.text(alphabet="[](){}'\",:0a\\ \n", max_size=80))
def test_no_text_trips_it(text):
    assert read_literal(text) == text or isinstance(read_literal(text), list | dict)


@given(st.lists(st.one_of(st.text(max_size=20), st.integers(), st.none()), max_size=6))
def test_what_python_writes_is_read_back(value):
    assert read_literal(repr(value)) == value
