"""The nodes' times, and the wiring."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
import pytest
import yaml
from polars.io.plugins import register_io_source
from polars.testing import assert_frame_equal

from recsys_kedro import columns as c
from recsys_kedro.features import columns as f
from recsys_kedro.features import schemas
from recsys_kedro.features.options import FeatureOptions
from recsys_kedro.pipelines.feature_engineering import create_pipeline, nodes
from recsys_kedro.pipelines.feature_engineering.nodes import (
    build_product_features,
    build_product_snapshots,
    build_user_features,
    split_time,
)
from recsys_kedro.schemas import EVENTS, PRODUCTS, USERS
from recsys_kedro.splits import SplitOptions, TimeSplit

OPTIONS = FeatureOptions()
CONF = Path(__file__).parents[3] / "conf" / "base"
DAY = timedelta(days=1)
START = datetime(2025, 1, 1, tzinfo=UTC)


def empty(schema, **columns):
    types = {name: column.dtype.type for name, column in schema.columns.items()}
    height = max((len(values) for values in columns.values()), default=0)
    return pl.DataFrame({name: columns.get(name, [None] * height) for name in types}, schema=types)


@pytest.fixture(scope="module")
def tables():
    days = 60
    events = empty(
        EVENTS,
        **{
            c.EVENT_TYPE: [c.PURCHASE] * days,
            c.USER_ID: ["u"] * days,
            c.PRODUCT_ID: [f"p{day % 4}" for day in range(days)],
            c.TIMESTAMP: [START + day * DAY for day in range(days)],
            c.SESSION_ID: [str(day) for day in range(days)],
            c.QUANTITY: [1.0] * days,
            c.SOURCE_ROW: list(range(days)),
        },
    )
    return events, empty(PRODUCTS), empty(USERS)


@pytest.fixture(scope="module")
def split(tables):
    as_of = tables[0][c.TIMESTAMP].max() + timedelta(microseconds=1)
    test_start = datetime(2025, 2, 15, tzinfo=UTC)
    return TimeSplit(
        validation_start=test_start - 10 * DAY,
        test_start=test_start,
        end=as_of,
        as_of=as_of,
        horizon_days=10,
        target_event_types=(c.PURCHASE,),
    )


def test_as_of_may_be_a_time_or_its_text(tables):
    options = SplitOptions(horizon_days=7)
    as_of = datetime(2025, 2, 20, tzinfo=UTC)
    split = split_time(tables[0], as_of, options)
    assert split.as_of == as_of
    assert split == split_time(tables[0], "2025-02-20T00:00:00+00:00", options)
    with pytest.raises(ValueError, match="timezone"):
        split_time(tables[0], "2025-02-20T00:00:00", options)


def test_user_and_product_features_are_as_of_the_splits_as_of(tables, split):
    events, products, users = tables
    user = build_user_features(events, products, users, split, OPTIONS)
    product = build_product_features(events, products, split, OPTIONS)
    assert user[f.TOTAL_PURCHASES].to_list() == [30]
    assert product[f.PURCHASES_ALL_TIME].sum() == events.height
    schemas.USER_FEATURES.validate(user)
    schemas.PRODUCT_FEATURES.validate(product)


def test_snapshots_are_weekly_and_stand_at_every_cut(tables, split):
    events, products, _ = tables
    table = build_product_snapshots(events, products, split, OPTIONS)
    schemas.PRODUCT_SNAPSHOTS.validate(table)
    times = table[f.SNAPSHOT_TIME].unique().sort().to_list()
    weekly = [split.test_start + week * 7 * DAY for week in range(-6, 3)]
    cuts = {split.validation_start, split.test_start, split.as_of}
    assert times == sorted({*(time for time in weekly if START < time < split.as_of), *cuts})


def test_only_the_latest_of_the_grid_may_be_made(tables, split):
    events, products, _ = tables
    table = build_product_snapshots(events, products, split, FeatureOptions(snapshots=4))
    latest = [split.test_start + week * 7 * DAY for week in (-1, 0, 1, 2)]
    cuts = {split.validation_start, split.test_start, split.as_of}
    assert table[f.SNAPSHOT_TIME].unique().sort().to_list() == sorted({*latest, *cuts})


def test_lazy_tables_give_the_same(tables, split):
    lazy = [table.lazy() for table in tables]
    eager = build_user_features(*tables, split, OPTIONS)
    assert build_user_features(*lazy, split, OPTIONS).equals(eager)


def test_as_of_may_be_of_any_zone(tables, split):
    events, products, _ = tables
    eastern = split.model_copy(update={"as_of": split.as_of.astimezone(ZoneInfo("Asia/Tokyo"))})
    for build in (build_product_features, build_product_snapshots):
        expected = build(events, products, split, OPTIONS)
        assert_frame_equal(build(events, products, eastern, OPTIONS), expected)


@pytest.fixture
def passes_over(tables, split):
    """How often the events are read, and the snapshots that came of it."""

    def passes(**options):
        read = []

        def rows(columns, predicate, n_rows, batch_size):
            read.append(batch_size)
            chosen = tables[0] if predicate is None else tables[0].filter(predicate)
            yield chosen if columns is None else chosen.select(columns)

        events = register_io_source(rows, schema=tables[0].schema)
        table = build_product_snapshots(events, tables[1], split, FeatureOptions(**options))
        return len(read), table

    return passes


def test_more_snapshots_take_no_more_passes_over_the_events(passes_over):
    few, one = passes_over(snapshots=1)
    many, all_of_them = passes_over(snapshot_every_days=1)
    assert all_of_them[f.SNAPSHOT_TIME].n_unique() > 10 * one[f.SNAPSHOT_TIME].n_unique()
    assert many == few


def test_a_pass_is_over_as_many_events_as_fit_the_memory(passes_over, monkeypatch):
    once, expected = passes_over()
    monkeypatch.setattr(nodes, "EVENTS_AT_ONCE", 20)
    thrice, table = passes_over()
    assert thrice == once + 2
    assert_frame_equal(table, expected)


def test_every_output_has_a_catalog_entry_and_every_parameter_an_option():
    catalog = yaml.safe_load((CONF / "catalog_feature_engineering.yml").read_text())
    assert set(catalog) == create_pipeline().all_outputs()
    parameters = yaml.safe_load((CONF / "parameters_feature_engineering.yml").read_text())
    assert FeatureOptions(**parameters["features"]) == FeatureOptions()
    assert set(parameters["features"]) == set(FeatureOptions.model_fields)
