import pytest
from hypothesis import given
from hypothesis import strategies as st

from reward_fns.contains import ContainsOptions, check, compute_score

FORMULA = ContainsOptions(ignore_spaces=True, case_sensitive=True)


@pytest.mark.parametrize(
    ("answer", "gold", "right"),
    [
        ("EXIT", "exit", True),
        ("The sign says  Exit\nnow", "exit now", True),
        ("exits", "exit", False),
        ("no exit, no entry", ["entry", "x"], True),
        ("15", "5", False),
        ("5.2", "5", False),
        ("0.5", "5", False),
        ("5.", "5", True),
        ("5, 6", "5", True),
        ("1,500", "500", False),
        ("$5", "5", True),
        ("15 or 5", "5", True),
        ("Ｅｘｉｔ", "exit", True),
        ("在中国的", "中国", True),
        ("a-b", "a", True),
        ("(212) 555", "(212)", True),
        ("", "a", False),
        ("a\u202eb", "a", False),
    ],
)
def test_by_hand(answer, gold, right):
    assert check(answer, gold).correct is right


def test_formulas():
    assert check("y = x ^ {2}", "x^{2}", FORMULA).correct
    assert not check("X^{2}", "x^{2}", FORMULA).correct
    assert check("15", "5", ContainsOptions(whole_words=False)).correct


@given(st.text(max_size=60), st.text(min_size=1, max_size=9).filter(str.strip))
def test_no_answer_trips_it_and_a_text_contains_itself(answer, gold):
    check(answer, gold)
    assert check(gold, gold).status in ("equal", "unparsed")


def test_score():
    assert compute_score("d", "<think>exit</think>\\boxed{enter}", "exit")["acc"] == 0.0
