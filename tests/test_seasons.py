from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from recsys_kedro.seasons import Season, SeasonsOptions, alias_of

WINTER = Season(first="11-15", last="01-06")
SUMMER = Season(first="06-01", last="08-31")
LEAP = Season(first="02-20", last="02-29")


def at(*parts):
    return datetime(*parts, tzinfo=UTC)


@pytest.mark.parametrize(
    ("season", "day", "within"),
    [
        (SUMMER, (2025, 5, 31), False),
        (SUMMER, (2025, 6, 1), True),
        (SUMMER, (2025, 8, 31), True),
        (SUMMER, (2025, 9, 1), False),
        (WINTER, (2025, 11, 14), False),
        (WINTER, (2025, 11, 15), True),
        (WINTER, (2026, 1, 6), True),
        (WINTER, (2026, 1, 7), False),
        (LEAP, (2024, 2, 29), True),
        (LEAP, (2024, 3, 1), False),
        (LEAP, (2025, 2, 28), True),
        (LEAP, (2025, 3, 1), False),
    ],
)
def test_both_ends_are_included_and_it_may_wrap_around_new_year(season, day, within):
    assert season.contains(date(*day)) is within
    assert season.contains(at(*day, 23, 59)) is within


def test_a_time_counts_in_utc():
    east = timezone(timedelta(hours=9))
    assert not WINTER.contains(datetime(2025, 11, 15, 8, 59, tzinfo=east))
    assert WINTER.contains(datetime(2025, 11, 15, 9, tzinfo=east))


def test_the_latest_occurrence_that_is_over():
    assert WINTER.last_before(at(2026, 1, 7)) == (at(2025, 11, 15), at(2026, 1, 7))
    assert WINTER.last_before(at(2026, 1, 6, 23)) == (at(2024, 11, 15), at(2025, 1, 7))
    assert WINTER.last_before(at(2025, 11, 20)) == (at(2024, 11, 15), at(2025, 1, 7))
    assert SUMMER.last_before(at(2025, 8, 31)) == (at(2024, 6, 1), at(2024, 9, 1))
    assert LEAP.last_before(at(2025, 3, 1)) == (at(2025, 2, 20), at(2025, 3, 1))
    assert LEAP.last_before(at(2025, 2, 28)) == (at(2024, 2, 20), at(2024, 3, 1))
    assert Season(first="02-29", last="03-10").last_before(at(2026, 1, 1))[0] == at(2025, 3, 1)


month_days = st.dates(date(2000, 1, 1), date(2000, 12, 31)).map(lambda day: f"{day:%m-%d}")


@given(month_days, month_days, st.datetimes(datetime(2001, 1, 1), datetime(2030, 1, 1)))
def test_an_occurrence_holds_exactly_the_days_of_the_season(first, last, time):
    season = Season(first=first, last=last)
    start, end = season.last_before(time.replace(tzinfo=UTC))
    assert end <= time.replace(tzinfo=UTC)
    if start == end:  # the 29th of February alone, in a year without it
        return
    days = [start + timedelta(days=number) for number in range((end - start).days)]
    assert all(season.contains(day) for day in days)
    whole_year = (end - start).days >= 365
    assert whole_year or not (season.contains(start - timedelta(days=1)) or season.contains(end))


def test_the_first_season_of_a_day_counts():
    declared = SeasonsOptions(
        named={"party": WINTER, "new_year": Season(first="12-27", last="01-02")}
    )
    assert declared.on(at(2025, 12, 30)) == "party"
    assert declared.on(at(2025, 7, 1)) is None
    assert alias_of("party") == "season_party"


def test_a_parameters_file_is_read():
    text = "seasons:\n  named:\n    summer: {first: 06-01, last: 08-31}\nother: 1\n"
    assert SeasonsOptions.read(text, "here").named == {"summer": SUMMER}
    assert SeasonsOptions.read("other: 1", "here") == SeasonsOptions()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- 1", "here: the seasons cannot be read"),
        ("seasons: {named: {x: {first: 02-30, last: 03-01}}}", "'02-30' is no day of any year"),
        ("seasons: {named: {x: {frist: 02-03, last: 03-01}}}", "frist"),
        ("seasons: {named: {Xmas!: {first: 02-03, last: 03-01}}}", "should match pattern"),
    ],
)
def test_a_bad_file_is_named_with_what_is_wrong(text, message):
    with pytest.raises(ValueError, match=message):
        SeasonsOptions.read(text, "here")


def test_a_weight_below_one_is_refused():
    with pytest.raises(ValidationError, match="weight"):
        SeasonsOptions(weight=0)
