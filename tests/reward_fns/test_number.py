from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reward_fns._number import match_number, parse_cjk_number, parse_number, parse_number_words


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("85", 85),
        ("-3", -3),
        ("+4", 4),
        ("1,234", 1234),
        ("1 234", 1234),
        ("1,234.5", Fraction(2469, 2)),
        ("1.234,5", Fraction(2469, 2)),
        (".5", Fraction(1, 2)),
        ("5.", 5),
        ("1e-3", Fraction(1, 1000)),
        ("1E+05", 100000),
        ("-3/4", Fraction(-3, 4)),
        ("1 1/2", Fraction(3, 2)),
        ("\\frac12", Fraction(1, 2)),
        ("\\frac{3}{-4}", Fraction(-3, 4)),
        ("-1\\frac{1}{2}", Fraction(-3, 2)),
        ("2 \\times 10^{5}", 200000),
        ("10^{-3}", Fraction(1, 1000)),
        ("-2^2", -4),
        ("0.1\\overline{6}", Fraction(1, 6)),
        ("0.\\overline{3}", Fraction(1, 3)),
    ],
)
def test_reads_numbers_as_people_write_them(text, value):
    assert parse_number(text).value == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-",
        "x",
        "1,23",
        "1,234,56",
        "1.2.3",
        "12e9999",
        "3/0",
        "1/2/3",
        "5!",
        "2^2^2",
        "2^99999",
        "1_000",
        "1234 567",
    ],
)
def test_refuses_what_only_begins_like_a_number(text):
    assert parse_number(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "9" * 5000,
        "9" + ",999" * 2000,
        "9" + ".999" * 2000 + ",5",
        "0." + "9" * 5000,
        "1/" + "9" * 5000,
        "1 1/" + "9" * 5000,
        "\\frac{1}{" + "9" * 5000 + "}",
    ],
)
def test_a_literal_longer_than_python_converts_is_no_number(text):
    assert match_number(text) is None


def test_remembers_how_precisely_a_decimal_was_written():
    assert parse_number("3.14").step == Fraction(1, 100)
    assert parse_number("3.14e3").step == 10
    assert parse_number("3").step == 0 and parse_number("3/7").step == 0


@given(st.integers(min_value=-(10**30), max_value=10**30), st.integers(min_value=1, max_value=10**9))
def test_ratios_are_exact(top, bottom):
    assert parse_number(f"{top}/{bottom}").value == Fraction(top, bottom)


@given(st.integers(min_value=-(10**15), max_value=10**15))
def test_thousands_separators_change_nothing(number):
    assert parse_number(f"{number:,}").value == number


@given(st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-(10**9), max_value=10**9))
def test_decimals_are_exact(number):
    assert parse_number(f"{number:f}").value == Fraction(number)


@given(st.text(alphabet="0123456789.,/ eE+-^{}\\frac", max_size=40))
def test_never_raises_and_stays_within_the_text(text):
    found = match_number(text)
    assert found is None or 0 < found[1] <= len(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("十", 10),
        ("十五", 15),
        ("二十", 20),
        ("一百零五", 105),
        ("三百二十", 320),
        ("一亿二千万", 120_000_000),
        ("二〇二四", 2024),
    ],
)
def test_reads_chinese_numerals(text, value):
    assert parse_cjk_number(text) == value


@pytest.mark.parametrize("text", ["两万五", "三百二", "北京", "", "十x"])
def test_refuses_ambiguous_numerals(text):
    assert parse_cjk_number(text) is None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("zero", 0),
        ("twenty-one", 21),
        ("one hundred twenty three thousand four hundred fifty-six", 123_456),
        ("three hundred and five", 305),
        ("two million", 2_000_000),
    ],
)
def test_reads_number_words(text, value):
    assert parse_number_words(text) == value


@pytest.mark.parametrize("text", ["hundred", "one two", "twenty twelve", "and", "five and", "one apple", ""])
def test_refuses_other_words(text):
    assert parse_number_words(text) is None
