"""One pass for many times: the same figures as counting the events of each time one by one."""

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product

import narwhals as nw
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from recsys_kedro import columns as c
from recsys_kedro.features import columns as f
from recsys_kedro.features.options import FeatureOptions
from recsys_kedro.features.product import product_features_of
from recsys_kedro.features.product_history import ProductHistory
from recsys_kedro.features.schemas import PRODUCT_FEATURES, PRODUCT_SNAPSHOTS
from recsys_kedro.features.snapshots import product_snapshots
from recsys_kedro.schemas import EVENTS, PRODUCTS

OPTIONS = FeatureOptions(never_days=40)
DAY = timedelta(days=1)
INSTANT = timedelta(microseconds=1)
NOON = datetime(2025, 3, 31, 12, 30, tzinfo=UTC)
WINDOWS = (1, 7, 30)


def frame(schema, rows):
    types = {name: column.dtype.type for name, column in schema.columns.items()}
    return pl.DataFrame([{name: row.get(name) for name in types} for row in rows], schema=types)


def lazy(schema, rows):
    return nw.from_native(frame(schema, rows).lazy())


def counted(events, products, as_of):
    """The features as of ``as_of``, product by product and event by event."""
    past = [event for event in events if event[c.TIMESTAMP] < as_of]
    listed = {row[c.PRODUCT_ID]: row for row in products}
    rows = []
    for name in sorted({*listed, *(event[c.PRODUCT_ID] for event in past)}):
        own = [event for event in past if event[c.PRODUCT_ID] == name]
        created = listed.get(name, {}).get(c.CREATED_AT)
        if own or created is None or created < as_of:
            rows.append(counted_for(name, own, listed.get(name, {}), as_of))
    return frame(PRODUCT_FEATURES, rows)


def counted_for(name, past, row, as_of):
    def of(kind, days=None):
        since = datetime.min.replace(tzinfo=UTC) if days is None else as_of - days * DAY
        return [e for e in past if e[c.EVENT_TYPE] == kind and e[c.TIMESTAMP] >= since]

    views = {days: len(of(c.PRODUCT_VIEW, days)) for days in WINDOWS}
    bought = {days: len(of(c.PURCHASE, days)) for days in WINDOWS}
    steady = (views[7], views[30]) if views[30] else (bought[7], max(bought[30], 1))
    priced = [
        (e[c.TIMESTAMP], e[c.PRICE])
        for e in past
        if e[c.PRICE] is not None and e[c.EVENT_TYPE] != c.RETURN
    ]
    price = max(priced)[1] if priced else row.get(c.PRICE)
    spent = [
        (row.get(c.PRICE) if e[c.PRICE] is None else e[c.PRICE], e[c.QUANTITY])
        for e in of(c.PURCHASE, 30)
    ]
    purchased = [event[c.TIMESTAMP] for event in of(c.PURCHASE)]
    since = row.get(c.CREATED_AT) or min((e[c.TIMESTAMP] for e in past), default=None)
    return {
        c.PRODUCT_ID: name,
        c.NAME: row.get(c.NAME),
        c.PRICE: price,
        f.LOG_PRICE: None if price is None else math.log(1 + price),
        f.IN_STOCK: row.get(c.STOCK_QUANTITY) != 0,
        f.VIEWS_1D: views[1],
        f.VIEWS_7D: views[7],
        f.VIEWS_30D: views[30],
        f.PURCHASES_1D: bought[1],
        f.PURCHASES_7D: bought[7],
        f.PURCHASES_30D: bought[30],
        f.RETURNS_30D: len(of(c.RETURN, 30)),
        f.PURCHASES_ALL_TIME: len(purchased),
        f.CONVERSION_RATE: bought[30] / max(views[30], 1),
        f.TRENDING_SCORE: steady[0] / steady[1],
        f.REVENUE_30D: sum(paid * pieces for paid, pieces in spent if paid is not None),
        f.DAYS_SINCE_LAST_PURCHASE: min((as_of - max(purchased)).days, OPTIONS.never_days)
        if purchased
        else OPTIONS.never_days,
        f.PRODUCT_AGE_DAYS: None if since is None else max((as_of - since).days, 0),
    }


def moments(days, instants):
    return st.builds(lambda ago, late: NOON - ago * DAY + late * INSTANT, days, instants)


# Whole days and an instant more or less, so that events meet each other and the cuts.
EVENT = st.fixed_dictionaries(
    {
        c.PRODUCT_ID: st.sampled_from(["p0", "p1", "p2"]),
        c.EVENT_TYPE: st.sampled_from(c.EVENT_TYPES),
        c.TIMESTAMP: moments(
            st.sampled_from([-1, 0, 1, 2, 7, 9, 30, 31, 37, 70]), st.sampled_from([-1, 0, 0, 1])
        ),
        c.PRICE: st.sampled_from([None, 0.1, 0.2, 7.0]),
        c.QUANTITY: st.sampled_from([0.0, 1.0, 3.0]),
    }
)
ROW = st.fixed_dictionaries(
    {
        c.PRICE: st.sampled_from([None, 0.3]),
        c.STOCK_QUANTITY: st.sampled_from([None, 0, 2]),
        c.CREATED_AT: st.none() | moments(st.integers(-3, 75), st.sampled_from([-1, 0, 1])),
    }
)
NAMES = ("p1", "p2", "p3")
PRODUCT_ROWS = st.tuples(ROW, ROW, ROW).map(
    lambda rows: [{c.PRODUCT_ID: n, **row} for n, row in zip(NAMES, rows, strict=True)]
)
TIMES = st.lists(
    moments(st.integers(0, 40), st.sampled_from([0, 0, 1, 3_600_000_017])),
    min_size=1,
    max_size=4,
    unique=True,
)


@settings(max_examples=60, deadline=None)
@given(events=st.lists(EVENT, max_size=40), products=PRODUCT_ROWS, times=TIMES)
def test_every_snapshot_is_what_counting_gives(events, products, times):
    tables = lazy(EVENTS, events), lazy(PRODUCTS, products)
    table = product_snapshots(*tables, times, OPTIONS).to_native().collect()
    PRODUCT_SNAPSHOTS.validate(table)
    for time in times:
        snapshot = table.filter(pl.col(f.SNAPSHOT_TIME) == time).drop(f.SNAPSHOT_TIME)
        expected = counted(events, products, time).drop(c.NAME)
        assert_frame_equal(snapshot, expected, rel_tol=1e-12, abs_tol=1e-12)


@settings(max_examples=20, deadline=None)
@given(events=st.lists(EVENT, max_size=30), times=TIMES, share=st.integers(0, 30))
def test_histories_of_parts_are_a_history_of_the_whole(events, times, share):
    whole = ProductHistory.of(lazy(EVENTS, events), times)
    parts = [
        ProductHistory.of(lazy(EVENTS, part), times).table
        for part in (events[share:], events[:share])
    ]
    joined = replace(whole, table=nw.concat(parts))
    for time in times:
        one, other = (
            product_features_of(history, lazy(PRODUCTS, []), time, OPTIONS).to_native().collect()
            for history in (whole, joined)
        )
        assert_frame_equal(one, other)


def test_an_event_at_a_cut_is_in_the_segment_that_begins_there():
    lates = (-INSTANT, 0 * INSTANT, INSTANT)
    events = [
        {
            c.PRODUCT_ID: f"{days} days and {late.total_seconds():+f}s",
            c.EVENT_TYPE: c.PRODUCT_VIEW,
            c.TIMESTAMP: NOON - days * DAY + late,
        }
        for days, late in product((0, *WINDOWS), lates)
    ]
    history = ProductHistory.of(lazy(EVENTS, events), [NOON])
    table = product_features_of(history, lazy(PRODUCTS, []), NOON, OPTIONS).to_native().collect()
    columns = (f.VIEWS_1D, f.VIEWS_7D, f.VIEWS_30D)
    assert {row[c.PRODUCT_ID]: [row[name] for name in columns] for row in table.to_dicts()} == {
        "0 days and -0.000001s": [1, 1, 1],
        "1 days and -0.000001s": [0, 1, 1],
        "1 days and +0.000000s": [1, 1, 1],
        "1 days and +0.000001s": [1, 1, 1],
        "7 days and -0.000001s": [0, 0, 1],
        "7 days and +0.000000s": [0, 1, 1],
        "7 days and +0.000001s": [0, 1, 1],
        "30 days and -0.000001s": [0, 0, 0],
        "30 days and +0.000000s": [0, 0, 1],
        "30 days and +0.000001s": [0, 0, 1],
    }


def test_times_it_is_not_cut_at_are_refused():
    history = ProductHistory.of(lazy(EVENTS, []), [NOON])
    for time in (NOON + DAY, NOON - DAY):
        with pytest.raises(ValueError, match="not cut at"):
            product_features_of(history, lazy(PRODUCTS, []), time, OPTIONS)


def test_no_times_and_times_without_a_zone_are_refused():
    with pytest.raises(ValueError, match="no times"):
        ProductHistory.of(lazy(EVENTS, []), [])
    with pytest.raises(ValueError, match="no time zone"):
        ProductHistory.of(lazy(EVENTS, []), [NOON.replace(tzinfo=None)])
