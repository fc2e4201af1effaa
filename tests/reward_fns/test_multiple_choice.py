import pytest

from lipo.common import LipoError
from reward_fns.multiple_choice import check

OPTIONS = ["9 cm", "12 cm", "15 cm"]


@pytest.mark.parametrize(
    "extra", [{"options": OPTIONS}, {"choices": OPTIONS}, {"options": dict(zip("ABC", OPTIONS, strict=True))}]
)
@pytest.mark.parametrize("gold", ["B", 1, "12 cm"])
def test_options_and_ground_truths_in_their_usual_forms(extra, gold):
    assert check("12 cm", gold, None, extra).correct
    assert check("(b)", gold, None, extra).correct
    assert not check("C", gold, None, extra).correct


@pytest.mark.parametrize("answer", ["B, C", "B or C", "A. 12 cm", "E", "not B", "ABC", "12"])
def test_naming_no_single_option_is_unparsed(answer):
    assert check(answer, "B", None, {"options": OPTIONS}).status == "unparsed"


def test_letter_with_a_paraphrase_of_its_option_counts():
    assert check("B. twelve centimetres", "B", None, {"options": OPTIONS}).correct


@pytest.mark.parametrize("texts", [["It is red.", "It is blue."], [r"$\frac{1}{2}$", r"$\frac{1}{3}$"]])
def test_the_text_of_an_option_is_a_ground_truth_in_any_spelling(texts):
    for gold, letter in zip(texts, "AB", strict=True):
        assert check(letter, gold, None, {"options": texts}).correct
        assert check(gold, letter, None, {"options": texts}).correct
        assert not check({"A": "B", "B": "A"}[letter], gold, None, {"options": texts}).correct


def test_texts_of_one_character_count_unless_they_are_letters_of_options():
    assert check("3", "C", None, {"options": ["1", "2", "3", "4"]}).correct
    assert check("y", "B", None, {"options": ["x", "y", "z"]}).correct
    assert check("B", "B", None, {"options": ["B", "A"]}).correct


@pytest.mark.parametrize("gold", ["Z", "7 cm", 5, ""])
def test_ground_truth_that_names_no_option_is_a_data_error(gold):
    with pytest.raises(LipoError, match="ground truth"):
        check("B", gold, None, {"options": OPTIONS})
