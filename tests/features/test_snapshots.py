"""Snapshots: the grid of times, and features that equal those of each time alone."""

from datetime import UTC, datetime, timedelta

import narwhals as nw
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from recsys_kedro import columns as c
from recsys_kedro.features import columns as f
from recsys_kedro.features.options import FeatureOptions
from recsys_kedro.features.product import product_features
from recsys_kedro.features.schemas import PRODUCT_SNAPSHOTS
from recsys_kedro.features.snapshots import product_snapshots, snapshot_times

OPTIONS = FeatureOptions()


def day(number):
    return datetime(2025, 1, number, tzinfo=UTC)


def test_times_are_anchored_and_inside_the_bounds():
    assert snapshot_times(day(2), day(30), day(15), 7) == [day(8), day(15), day(22), day(29)]


def test_bounds_on_the_grid_belong_to_it():
    assert snapshot_times(day(1), day(15), day(15), 7) == [day(1), day(8), day(15)]


def test_an_anchor_outside_the_bounds_gives_the_same_grid():
    assert snapshot_times(day(9), day(16), day(1), 7) == [day(15)]
    assert snapshot_times(day(9), day(16), day(29), 7) == [day(15)]


def test_no_time_of_the_grid_in_the_bounds():
    assert snapshot_times(day(2), day(7), day(1), 7) == []


def test_a_step_below_a_day_is_refused():
    with pytest.raises(ValueError, match="every_days must be at least 1, not 0"):
        snapshot_times(day(1), day(2), day(1), 0)


def test_each_snapshot_equals_the_features_of_its_time_from_the_events_before_it(
    random_shop, as_of
):
    events, products, _ = random_shop(3)
    times = [as_of - timedelta(days=days) for days in (40, 7, 0)]
    of_events, of_products = (nw.from_native(table.lazy()) for table in (events, products))
    table = product_snapshots(of_events, of_products, times, OPTIONS).to_native().collect()
    PRODUCT_SNAPSHOTS.validate(table)
    for time in times:
        past = of_events.filter(nw.col(c.TIMESTAMP) < nw.lit(time))
        one = product_features(past, of_products, time, OPTIONS).drop(c.NAME).to_native().collect()
        snapshot = table.filter(pl.col(f.SNAPSHOT_TIME) == time).drop(f.SNAPSHOT_TIME)
        assert_frame_equal(snapshot, one)


def test_no_times_are_refused(random_shop):
    frames = [nw.from_native(table.lazy()) for table in random_shop(3, size=1)[:2]]
    with pytest.raises(ValueError, match="no times"):
        product_snapshots(*frames, [], OPTIONS)
