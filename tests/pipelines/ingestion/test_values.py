import logging
from datetime import UTC, date, datetime

import polars as pl
import pytest

from recsys_kedro.pipelines.ingestion.values import as_number, as_text, as_time

NOON = datetime(2025, 10, 19, 12, tzinfo=UTC)


def test_text_of_whole_floats_has_no_point():
    assert as_text(pl.Series([17850.0, 1.5, None])).to_list() == ["17850", "1.5", None]


def test_blank_text_is_empty_and_other_text_stays():
    assert as_text(pl.Series(["", "  ", " a ", "007"])).to_list() == [None, None, " a ", "007"]


def test_text_of_objects_is_json():
    assert as_text(pl.Series([{"a": 1}, None])).to_list() == ['{"a":1}', None]


def test_numbers_are_finite():
    text = pl.Series(["2.5", " 3 ", "cheap", "nan", "inf", None])
    assert as_number(text).to_list() == [2.5, 3.0, None, None, None, None]


@pytest.mark.parametrize(
    "text",
    [
        "2025-10-19T12:00:00Z",
        "2025-10-19 12:00:00 UTC",
        "2025-10-19T14:00:00+02:00",
        "2025-10-19T14:00:00.000+0200",
        "2025-10-19 12:00:00.000",
        "2025-10-19 12:00",
        " 2025-10-19T12:00:00 ",
    ],
)
def test_iso_times(text):
    assert as_time(pl.Series([text]), (), "UTC", "events").to_list() == [NOON]


def test_mixed_spellings_in_one_column():
    text = pl.Series(["2025-10-19", "31/02/2025", None, "2025-10-19T12:00:00Z"])
    expected = [NOON.replace(hour=0), None, None, NOON]
    assert as_time(text, (), "UTC", "events").to_list() == expected


def test_formats_are_tried_in_order():
    text = pl.Series(["19/10/2025 12:00", "1760875200"])
    assert as_time(text, ("%d/%m/%Y %H:%M", "epoch_s"), "UTC", "events").to_list() == [NOON, NOON]


@pytest.mark.parametrize(("unit", "per_second"), [("epoch_s", 1), ("epoch_ms", 1_000)])
def test_numbers_since_1970(unit, per_second):
    numbers = pl.Series([1760875200 * per_second])
    assert as_time(numbers, (unit,), "UTC", "events").to_list() == [NOON]


def test_numbers_without_a_unit_are_refused():
    with pytest.raises(ValueError, match=r"'when' holds numbers \(first: 5\).*epoch_s"):
        as_time(pl.Series("when", [5]), (), "UTC", "events")


def test_naive_times_are_of_the_zone_and_said_so_once(caplog):
    naive = pl.Series("when", [datetime(2025, 7, 1, 12), datetime(2025, 12, 1, 12)])

    with caplog.at_level(logging.INFO):
        times = as_time(naive, (), "Europe/Berlin", "events")

    assert [time.hour for time in times] == [12 - 2, 12 - 1]
    assert [record.message for record in caplog.records] == [
        "events: times of 'when' name no zone; taken as Europe/Berlin."
    ]


def test_zoned_times_and_dates():
    zoned = pl.Series([NOON]).dt.convert_time_zone("Asia/Tokyo")
    assert as_time(zoned, (), "UTC", "events").to_list() == [NOON]
    assert as_time(pl.Series([date(2025, 10, 19)]), (), "UTC", "events").to_list() == [
        NOON.replace(hour=0)
    ]


def test_local_time_that_never_was_is_no_time():
    skipped = pl.Series(["2025-03-30 02:30:00"])
    assert as_time(skipped, (), "Europe/Berlin", "events").to_list() == [None]


def test_local_time_that_was_twice_is_the_first():
    twice = pl.Series(["2025-10-26 02:30:00"])
    expected = datetime(2025, 10, 26, 0, 30, tzinfo=UTC)
    assert as_time(twice, (), "Europe/Berlin", "events").to_list() == [expected]
