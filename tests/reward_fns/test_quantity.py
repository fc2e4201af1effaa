from fractions import Fraction

import pytest

from reward_fns._latex import clean_latex
from reward_fns._quantity import parse_quantity, same_quantity


def read(text):
    return parse_quantity(clean_latex(text))


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("5 cm", "50 mm"),
        ("5\\text{ cm}^2", "5 square centimeters"),
        ("10 m/s", "36 km/h"),
        ("10 m/s", "10 meters per second"),
        ("1 L", "1000 cm^3"),
        ("60 mph", "60 miles per hour"),
        ("\\$3.50", "350 cents"),
        ("$2.5 million", "2500000"),
        ("90^\\circ", "90 degrees"),
        ("25°C", "25 degrees Celsius"),
        ("12 square units", "12"),
        ("5 apples", "5 apple"),
    ],
)
def test_same(gold, answer):
    assert same_quantity(read(gold), read(answer))
    assert same_quantity(read(answer), read(gold))


@pytest.mark.parametrize(
    ("gold", "answer"),
    [("5 cm", "5 m"), ("5 cm", "5 kg"), ("5 cm^2", "5 cm"), ("$5", "€5"), ("20 °C", "20 °F"), ("5 mW", "5 MW")],
)
def test_units_of_different_kind_or_size_differ(gold, answer):
    assert not same_quantity(read(gold), read(answer))


@pytest.mark.parametrize("text", ["5 or 6", "5 (or 6)", "5\\text{ or maybe }6", "5x", "5 x", "5m", "about 5", "5 to 6"])
def test_hedges_and_variables_are_no_units(text):
    assert read(text) is None


@pytest.mark.parametrize(
    ("gold", "answer", "same"),
    [
        ("50%", "50", True),
        ("50%", "0.5", True),
        ("50", "50%", True),
        ("0.5", "50%", True),
        ("0.5", "0.5%", False),
        ("1", "1%", False),
        ("3", "300%", True),
        ("50%", "5%", False),
    ],
)
def test_percent_is_a_hundredth_or_the_unit_asked_for(gold, answer, same):
    assert same_quantity(read(gold), read(answer)) is same


@pytest.mark.parametrize(
    ("gold", "answer", "same"),
    [
        ("1/3", "0.333333", True),
        ("1/3", "0.33333", False),
        ("2/3", "0.666666", True),
        ("2/3", "0.666668", False),
        ("3.14159", "3.14160", False),
        ("3.14", "3.14159", False),
        ("1000000.0", "1000001", False),
    ],
)
def test_decimals_may_be_rounded_from_six_digits_on(gold, answer, same):
    assert same_quantity(read(gold), read(answer)) is same


def test_tolerance_is_relative_to_the_ground_truth():
    assert same_quantity(read("100"), read("105"), Fraction(1, 20))
    assert not same_quantity(read("100"), read("105.1"), Fraction(1, 20))
    assert not same_quantity(read("0"), read("0.01"), Fraction(1, 20))
