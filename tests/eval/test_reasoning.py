import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval._reasoning import count_reasoning


def _count(pieces, opened=False):
    return count_reasoning(range(len(pieces)), lambda ids: "".join(pieces[i] for i in ids), opened)


@pytest.mark.parametrize(
    ("pieces", "opened", "expected"),
    [
        (["<think>", "so", "</think>", "4", "<|im_end|>"], False, 3),
        (["<th", "ink>so</", "thi", "nk>4"], False, 4),
        (["<think>", "so", " on"], False, 3),
        (["so", "</think>", "4"], True, 2),
        (["so", " on"], True, 2),
        (["4", "."], False, 0),
        ([], False, 0),
        (["<think>a</think>", "b", "</think>", "4"], False, 3),
        (["<think>", "a", "</think>", "b", "<think>", "c"], False, 6),
    ],
)
def test_by_hand(pieces, opened, expected):
    assert _count(pieces, opened) == expected


@given(st.lists(st.sampled_from(["<think>", "</think>", "a", "</thi", "nk>", "<"]), max_size=12), st.booleans())
def test_reasoning_is_the_shortest_beginning_with_every_closing_tag(pieces, opened):
    count, text = _count(pieces, opened), "".join(pieces)
    assert 0 <= count <= len(pieces)
    tags = text.count("</think>")
    if 0 < count < len(pieces):
        assert "".join(pieces[:count]).count("</think>") == tags > "".join(pieces[: count - 1]).count("</think>")
    if count == 0:
        assert not tags and (not pieces or "<think>" not in text)
