import numpy as np
import pytest

from lipo.common import LipoError
from reward_fns import StructuredOptions
from reward_fns.structured import check


@pytest.mark.parametrize(
    ("gold", "answer", "same"),
    [
        (["apple", "banana"], "banana, apple", True),
        (np.array(["apple", "banana"]), '["apple", "banana"]', True),
        ([2010, 2012], "2012; 2010", True),
        ([2010, 2012], "2010", False),
        (np.int64(5), "5", True),
        (1200000.0, "$1.2M", True),
        ("12", "12 (approximately)", False),
    ],
)
def test_ground_truths_come_as_data_sets_store_them(gold, answer, same):
    assert check(answer, gold).correct is same


@pytest.mark.parametrize(
    ("gold", "answer", "same"),
    [
        ("(b)", "b", True),
        ("a, b", "(b), (a)", True),
        ("(b)", "(c)", False),
        ("(5)", "5", False),
        ("$R^2_{t,h}$", "R^2_t,h", True),
        (r"\frac{1}{12}", r"\frac{11}{2}", False),
    ],
)
def test_labels_and_indices_as_charts_write_them(gold, answer, same):
    assert check(answer, gold).correct is same


def test_relaxed_accuracy_and_its_exception_for_years():
    relaxed = StructuredOptions(tolerance=0.05)
    assert check("104", "100", relaxed).correct
    assert not check("2016", "2015", relaxed).correct
    assert check("2016", "2015", StructuredOptions(tolerance=0.05, exact_years=False)).correct


@pytest.mark.parametrize("gold", ["", [], {"a": 1}, ["", ""]])
def test_bad_ground_truths_are_data_errors(gold):
    with pytest.raises(LipoError, match="ground truth"):
        check("5", gold)


@pytest.mark.parametrize("answer", ["\x00", "5\u202e", "{}", "\\text{}"])
def test_unreadable_answers_do_not_match(answer):
    assert not check(answer, "5").correct
