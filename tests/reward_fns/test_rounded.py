import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipo.common import LipoError
from reward_fns.rounded import check, compute_score


@pytest.mark.parametrize(
    ("answer", "gold", "precision", "status"),
    [
        ("1.2", "1.2", 1, "equal"),
        ("1.249", "1.2", 1.0, "equal"),
        ("1.25", "1.2", "1.0", "equal"),
        ("1.26", "1.2", 1, "different"),
        ("1.23", "1.23", None, "equal"),
        ("1.234", "1.23", None, "equal"),
        ("1.2", "1.23", None, "different"),
        ("8.0", "8", None, "equal"),
        ("7.9", "8", 0, "different"),
        ("1,200", "1200", None, "equal"),
        ("-0.5", "0.5", 1, "different"),
        ("12 cm", "12", None, "equal"),
        ("about 12 or 13", "12", None, "unparsed"),
        ("x", "12", None, "unparsed"),
        ("[1, 2]", [1, 2], None, "equal"),
        ("\\{1, 2\\}", ["1", "2"], None, "equal"),
        ("(1.24, 2.0)", ["1.2", "2.0"], 1, "equal"),
        ("2, 1", [1, 2], None, "different"),
        ("1, 2, 3", [1, 2], None, "different"),
        ("1", [1, 2], None, "different"),
        ("1, x", [1, 2], None, "unparsed"),
        ("", [1, 2], None, "unparsed"),
        ("5", [5], None, "equal"),
    ],
)
def test_by_hand(answer, gold, precision, status):
    assert check(answer, gold, None, {"precision": precision}).status == status


@given(st.integers(-(10**6), 10**6), st.integers(1, 6))
def test_a_number_is_equal_to_itself_with_more_decimals(number, places):
    gold = f"{number / 10**places:.{places}f}"
    assert check(f"{gold}0", gold, None, {"precision": places}).correct
    assert check(gold, gold).correct


@given(st.text(max_size=60))
def test_no_answer_trips_it(answer):
    check(answer, "1.5")
    check(answer, [1, 2])


@pytest.mark.parametrize(("gold", "precision"), [("x", None), ([1, "x"], None), ("1", "many"), ("1", float("inf"))])
def test_what_is_no_number_is_refused(gold, precision):
    with pytest.raises(LipoError):
        check("1, 1", gold, None, {"precision": precision})


def test_score():
    assert compute_score("d", "<think>a</think>\\boxed{0.62}", 0.6)["score"] == 1.0
