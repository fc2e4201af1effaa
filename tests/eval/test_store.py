import json
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.store import Answer, RowStore
from lipo.common import LipoError

ANSWERS = [
    Answer(f"k{i}", i, 0, text, 3, 1, 9, "stop") for i, text in enumerate(["4", "ünï\n\u2028", '"}{', "\ud800x"])
]


def _store(path, answers=ANSWERS):
    store = RowStore(path, Answer)
    with store.writing() as append:
        append(answers)
    return store


def test_round_trip_keeps_any_text(tmp_path):
    assert _store(tmp_path / "a.jsonl").read() == {a.key: a for a in ANSWERS}


def test_a_missing_file_is_empty(tmp_path):
    assert RowStore(tmp_path / "none.jsonl", Answer).read() == {}


@given(st.data())
def test_cut_anywhere_it_keeps_whole_rows_and_takes_more(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("store") / "a.jsonl"
    content = _store(path).path.read_bytes()
    cut = data.draw(st.integers(0, len(content)))
    path.write_bytes(content[:cut])
    whole = content[:cut].count(b"\n")
    store = RowStore(path, Answer)
    assert list(store.read().values()) == ANSWERS[:whole]
    with store.writing() as append:
        append(ANSWERS[whole:])
    assert store.path.read_bytes() == content


def test_unreadable_rows_in_the_middle_do_not_exist(tmp_path):
    path = tmp_path / "a.jsonl"
    rows = [json.dumps(asdict(a)).encode() for a in ANSWERS]
    path.write_bytes(b"\n".join([rows[0], b"\0\0\0", b'{"key": "k1"}', b"[]", b"\xff", rows[2], b""]))
    assert list(RowStore(path, Answer).read()) == ["k0", "k2"]


def test_the_first_of_equal_keys_counts(tmp_path):
    later = Answer("k0", 0, 0, "other", 1, 0, 1, "stop")
    assert _store(tmp_path / "a.jsonl", [*ANSWERS, later]).read()["k0"] == ANSWERS[0]


def test_two_writers_exclude_each_other(tmp_path):
    store = RowStore(tmp_path / "a.jsonl", Answer)
    with store.writing(), pytest.raises(LipoError, match="another evaluation"), RowStore(store.path, Answer).writing():
        pass
    with store.writing() as append:
        append(ANSWERS[:1])
    assert len(store.read()) == 1
