import pytest

from reward_fns import StructuredOptions
from reward_fns.short_answer import check, compute_score


@pytest.mark.parametrize(
    ("answer", "gold", "right"),
    [
        ("24/7", ["3.429", "24/7"], True),
        ("3.429", ["3.429", "24/7"], True),
        ("3.429, 24/7", ["3.429", "24/7"], False),
        ("a and b", "b, a", True),
        ("$1.2 million", 1_200_000, True),
        ("no", ["yes", "true"], False),
    ],
)
def test_by_hand(answer, gold, right):
    assert check(answer, gold).correct is right


def test_tolerance_and_score():
    assert check("103", ["x", "100"], StructuredOptions(tolerance=0.05)).correct
    assert compute_score("d", "\\boxed{}", ["5"])["status"] == "unparsed"
