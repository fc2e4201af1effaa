import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reward_fns.vqa_accuracy import check, compute_score


def by_definition(answer, people):
    """The mean over all ways to leave one person out of min(1, matches / 3)."""
    votes = [min(1.0, others.count(answer) / 3) for others in itertools.combinations(people, len(people) - 1)]
    return sum(votes) / len(votes)


@given(st.lists(st.sampled_from("pqr"), min_size=2, max_size=10), st.sampled_from("pqrs"))
def test_it_is_the_published_mean(people, answer):
    assert check(answer, people).similarity == pytest.approx(by_definition(answer, people), abs=1e-6)


@pytest.mark.parametrize(
    ("answer", "gold"),
    [
        ("The Stop-Sign!", "stop sign"),
        ("two", "2"),
        ("1,000", "1000"),
        ("it's", "its"),
        ("U.S.", "us"),
        ("3.5", "3.5"),
        ("none", "zero"),
    ],
)
def test_writings_that_count_as_one(answer, gold):
    assert check(answer, [gold] * 10).correct


@pytest.mark.parametrize(("answer", "gold"), [("35", "3.5"), ("stop", "stop sign"), ("on", "one"), ("then", "n")])
def test_writings_that_do_not(answer, gold):
    assert check(answer, [gold] * 10).similarity == 0.0


def test_one_answer_alone_must_be_met():
    assert check("a cat", "cat").correct and not check("dog", "cat").correct
    assert check("the", "cat").status == "unparsed"


@given(st.text(max_size=60))
def test_no_answer_trips_it(answer):
    assert 0.0 <= check(answer, ["yes", "no", "yes"]).similarity <= 1.0


def test_score():
    assert compute_score("d", "\\boxed{Stop}", ["stop"] * 3 + ["go"] * 7)["similarity"] == 0.9
