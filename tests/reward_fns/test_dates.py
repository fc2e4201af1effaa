import pytest

from reward_fns._dates import Date, parse_date


@pytest.mark.parametrize(
    "text",
    [
        "2024-03-05",
        "2024/3/5",
        "march 5, 2024",
        "5 march 2024",
        "mar. 5th 2024",
        "5-mar-2024",
        "tuesday, march 5, 2024",
        "2024年3月5日",
    ],
)
def test_one_day_in_many_forms(text):
    assert parse_date(text) == Date(2024, 3, 5)


@pytest.mark.parametrize(
    ("text", "date"),
    [("may 2020", Date(2020, 5, None)), ("july 4", Date(None, 7, 4)), ("13/05/2024", Date(2024, 5, 13))],
)
def test_parts_of_a_date(text, date):
    assert parse_date(text) == date


@pytest.mark.parametrize(
    "text", ["03/05/2024", "2024-13-05", "march 35, 2024", "5/3/24", "2024", "march", "march 5, 2024 or may"]
)
def test_ambiguous_or_impossible_dates_are_none(text):
    assert parse_date(text) is None
