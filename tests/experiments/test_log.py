from datetime import timedelta

import polars as pl
import pytest

from recsys_kedro import columns as c
from recsys_kedro.experiments import columns as e
from recsys_kedro.experiments.attribution import AttributionOptions
from recsys_kedro.experiments.log import Log, attributed, experiments_in, part_of, purchases
from recsys_kedro.schemas import VARIANTS

ANN = pl.LazyFrame({c.USER_ID: ["ann"]})
PRODUCTS = pl.LazyFrame({c.PRODUCT_ID: ["p", "q"], c.PRICE: [7.0, None]})


@pytest.fixture
def part(scope):
    return lambda impressions, events, pre_days=1: part_of(
        Log(impressions, events, PRODUCTS), ANN, scope, pre_days
    )


def test_only_what_the_units_saw_and_did_in_time(make_impressions, make_events, part):
    hours = (-24.1, -24, 0, 239.9, 240)
    shown = [{"at": at, c.RECOMMENDATION_ID: f"r{at}"} for at in hours]
    done = [{"at": at} for at in hours]
    found = part(
        make_impressions(*shown, {c.USER_ID: "ben"}), make_events(*done, {c.USER_ID: "ben"})
    )
    for table in (found.impressions, found.events):
        times = table.collect()
        assert times.height == 3
        assert times[c.USER_ID].unique().to_list() == ["ann"]
        assert times[c.TIMESTAMP].max() - times[c.TIMESTAMP].min() == timedelta(hours=263.9)


def test_prices_of_the_products_fill_what_is_missing(make_impressions, make_events, part):
    rows = [{c.PRICE: 3.0}, {}, {c.PRODUCT_ID: "q"}, {c.PRODUCT_ID: "not in the table"}]
    found = part(make_impressions(), make_events(*rows)).events.collect()
    assert dict(found.group_by(c.PRODUCT_ID).agg(c.PRICE).iter_rows()) == {
        "p": [3.0, 7.0],
        "q": [None],
        "not in the table": [None],
    }


def test_purchases_of_the_experiment_are_counted(make_impressions, make_events, part, scope):
    bought = {c.EVENT_TYPE: c.PURCHASE}
    events = make_events(
        {**bought, "at": -1, c.PRODUCT_ID: "q"},
        {**bought, "at": 0},
        {**bought, "at": 1, c.PRODUCT_ID: "q"},
        {"at": 2, c.PRODUCT_ID: "q"},
    )
    assert purchases(part(make_impressions(), events), scope) == (2, 1)
    assert purchases(part(make_impressions(), make_events()), scope) == (0, 0)


def test_what_followed_is_kept_with_what_was_shown(make_impressions, make_events, part):
    log = part(make_impressions({}, {c.POSITION: 2, c.PRODUCT_ID: "q"}), make_events({"at": 1}))
    found = attributed(log, AttributionOptions()).sort(c.POSITION)
    assert found[e.CLICKED].to_list() == [True, False]


def test_the_experiments_of_a_log(make_impressions):
    both = [{c.EXPERIMENT: name, c.VARIANT: "a"} for name in ("one", "other")]
    outside = make_impressions({c.EXPERIMENT: None, c.VARIANT: None})
    shown = outside.with_columns(pl.lit(both, VARIANTS).alias(c.VARIANTS))
    assert experiments_in(outside) == set()
    assert experiments_in(pl.concat([outside, shown])) == {"one", "other"}
