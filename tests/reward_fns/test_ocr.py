import pytest
from hypothesis import given
from hypothesis import strategies as st

from reward_fns import OcrOptions
from reward_fns.ocr import check


def levenshtein(a, b):
    """The textbook table."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        row, last = [i], row
        for j, y in enumerate(b, 1):
            row.append(min(last[j] + 1, row[-1] + 1, last[j - 1] + (x != y)))
    return row[-1]


@given(st.text("abcXYZ 12", min_size=1, max_size=12), st.text("abcXYZ 12", min_size=1, max_size=12))
def test_similarity_is_one_minus_the_normalised_distance(answer, gold):
    a, b = " ".join(answer.casefold().split()), " ".join(gold.casefold().split())
    if a and b:
        assert check(answer, gold).similarity == pytest.approx(1 - levenshtein(a, b) / max(len(a), len(b)))


def test_the_best_alternative_counts():
    assert check("K7XB", ["ZZZZ", "K7XA"]).similarity == 0.75
    assert check("b", ["a", "b"]).correct


def test_threshold_makes_it_anls():
    assert check("K7XB", "K7XA", OcrOptions(similarity_threshold=0.5)).similarity == 0.75
    assert check("KZZZ", "K7XA", OcrOptions(similarity_threshold=0.5)).similarity == 0.0


def test_case_and_spaces_are_configurable():
    assert check("abc", "ABC").correct and not check("abc", "ABC", OcrOptions(case_sensitive=True)).correct
    assert not check("a b", "ab").correct and check("a b", "ab", OcrOptions(ignore_spaces=True)).correct
