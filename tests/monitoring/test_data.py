import polars as pl
import pytest

from recsys_kedro import columns as c
from recsys_kedro.monitoring.data import age_figures, event_figures, rejection_figures


def test_events_by_type_gaps_and_strangers(make_events, by_name):
    events = make_events(
        {c.PRICE: 1.0},
        {c.EVENT_TYPE: c.PURCHASE, c.USER_ID: "ben"},
        {c.PRODUCT_ID: "q", c.PRICE: 2.0},
        {c.DEVICE_TYPE: "mobile", c.PRICE: 2.0},
    )
    figures = by_name(event_figures(events, pl.Series(["p"]), pl.Series(["ann"])))
    assert figures["events", "all"].value == 4
    assert figures["events", "event_type=click"].value == 3
    assert figures["events", "event_type=return"].value == 0
    assert figures["missing_share", "column=price"].value == 1 / 4
    assert figures["missing_share", "column=device_type"].value == 3 / 4
    assert figures["unknown_product_share", "all"].value == 1 / 4
    assert figures["unknown_user_share", "all"].value == 1 / 4


def test_no_events(make_events, by_name):
    figures = by_name(event_figures(make_events(), pl.Series(["p"]), pl.Series(["ann"])))
    assert figures["events", "all"].value == 0
    assert figures["missing_share", "column=price"].value is None


def test_refused_rows_are_a_share_of_those_that_were_not_excluded(by_name):
    report = {"rows_read": 110, "excluded": {"free": 10}, "rejected": {"no_user": 3, "far": 1}}
    figures = by_name(rejection_figures(report))
    assert figures["rejected_share", "all"][2:4] == (4 / 100, 100)
    assert figures["rejected_share", "reason=no_user"].value == 3 / 100


def test_ages_in_hours(make_events, hour, by_name):
    events = make_events({"at": 1}, {"at": 4}, {"at": 6})
    figures = by_name(age_figures(hour(6), events, hour(-18)))
    assert figures["event_age", "all"][2:4] == (6 - 4, 2)
    assert figures["model_data_age", "all"].value == pytest.approx(6 + 18)
    assert by_name(age_figures(hour(0), events, hour(0)))["event_age", "all"].value is None
