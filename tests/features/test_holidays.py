from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from recsys_kedro.features.holidays import SHOPPING_HOLIDAYS, Holiday, holiday_nearness


def days_of(*dates):
    return np.array(dates, "datetime64[D]").astype(np.int64)


@pytest.mark.parametrize(
    ("name", "days"),
    [
        ("black_friday", ["2024-11-29", "2025-11-28", "2026-11-27"]),
        ("mothering_sunday", ["2024-03-10", "2025-03-30", "2026-03-15"]),
        ("easter", ["2024-03-31", "2025-04-20", "2026-04-05"]),
        ("christmas", ["2024-12-25", "2025-12-25", "2026-12-25"]),
    ],
)
def test_the_days_of_three_years(name, days):
    found = [SHOPPING_HOLIDAYS[name].in_year(year) for year in (2024, 2025, 2026)]
    assert found == [date.fromisoformat(day) for day in days]


def test_the_last_weekday_of_a_month_and_a_day_that_most_years_lack():
    last_monday = Holiday(month=5, weekday="monday", nth=-1)
    assert last_monday.in_year(2026) == date(2026, 5, 25)
    assert last_monday.in_year(2027) == date(2027, 5, 31)
    leap_day = Holiday(day="02-29")
    assert [leap_day.in_year(year).day for year in (2024, 2025)] == [29, 28]


@pytest.mark.parametrize(
    ("given_", "message"),
    [
        ({}, "either day, or month with weekday and nth, or easter"),
        ({"day": "12-25", "easter": 0}, "either day, or month"),
        ({"month": 11, "nth": 4}, "needs all of month, weekday and nth"),
        ({"month": 11, "nth": 5, "weekday": "friday"}, "nth is 5; it is 1 to 4, or -1"),
        ({"day": "31-12"}, "'31-12' is no day of any year"),
        ({"day": "dec 25"}, "'dec 25' is no day of the year; write month-day"),
    ],
)
def test_what_is_no_rule_is_refused(given_, message):
    with pytest.raises(ValidationError, match=message):
        Holiday.model_validate(given_)


@given(st.dates(date(1990, 1, 1), date(2090, 12, 31)))
def test_nearness_is_of_the_next_and_the_last(day):
    found = holiday_nearness(days_of(day), SHOPPING_HOLIDAYS)[0]
    for place, holiday in enumerate(SHOPPING_HOLIDAYS.values()):
        occurrences = [holiday.in_year(day.year + shift) for shift in (-1, 0, 1)]
        until = min(each - day for each in occurrences if each >= day)
        since = min(day - each for each in occurrences if each <= day)
        expected = [np.exp(-(gap / timedelta(days=1)) / 14) for gap in (until, since)]
        np.testing.assert_allclose(found[2 * place : 2 * place + 2], expected)


def test_without_holidays_or_days_there_is_nothing():
    assert holiday_nearness(days_of("2024-12-25"), {}).shape == (1, 0)
    assert holiday_nearness(days_of(), SHOPPING_HOLIDAYS).shape == (0, 2 * len(SHOPPING_HOLIDAYS))


def test_many_days_are_as_each_alone():
    days = days_of("2023-12-31", "2024-02-29", "2025-06-01")
    together = holiday_nearness(days, SHOPPING_HOLIDAYS)
    for row, day in enumerate(days):
        np.testing.assert_array_equal(
            together[row], holiday_nearness(np.array([day]), SHOPPING_HOLIDAYS)[0]
        )
