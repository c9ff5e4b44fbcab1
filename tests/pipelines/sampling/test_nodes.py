import numpy as np
import polars as pl
import pytest

from recsys_kedro import columns as c
from recsys_kedro.features import columns as f
from recsys_kedro.features.options import FeatureOptions
from recsys_kedro.pipelines.feature_engineering.nodes import split_time
from recsys_kedro.pipelines.sampling.nodes import (
    build_evaluation_queries,
    build_lists,
    build_truth,
)
from recsys_kedro.schemas import TRUTH
from recsys_kedro.splits import SplitOptions, make_time_split
from recsys_kedro.training_lists import SamplingOptions

SAMPLING = SamplingOptions(snapshots=2, window_queries=20, session_queries=5, list_negatives=10)


@pytest.fixture(scope="module")
def truths(shop_events, shop_split):
    return build_truth(shop_events, shop_split)


def test_the_split_is_that_of_the_options(shop_events, day):
    options = SplitOptions(horizon_days=21)
    assert split_time(shop_events, day(100), options) == make_time_split(
        shop_events, day(100), options
    )


def test_truths_keep_their_schema_and_their_windows(truths, shop_events, shop_split):
    bought = shop_events.filter(pl.col(c.EVENT_TYPE) == c.PURCHASE)
    edges = (shop_split.validation_start, shop_split.test_start, shop_split.end)
    for truth, start, end in zip(truths, edges[:-1], edges[1:], strict=True):
        TRUTH.validate(truth)
        window = bought.filter(pl.col(c.TIMESTAMP).is_between(start, end, "left"))
        pairs = window.select(c.USER_ID, c.PRODUCT_ID).unique()
        every = truth.filter(pl.col(c.TASK) == c.TASK_ALL)
        assert every.height == pairs.height
        new = truth.filter(pl.col(c.TASK) == c.TASK_NEW)
        assert 0 < new.height < every.height


def test_everybody_in_a_truth_is_asked_as_of_its_cut(truths, shop, shop_events, shop_split):
    tables = (shop_events, shop.products, shop.users)
    both = build_evaluation_queries(*truths, *tables, shop_split, FeatureOptions())
    cuts = (shop_split.validation_start, shop_split.test_start)
    for queries, truth, cut in zip(both, truths, cuts, strict=True):
        assert set(queries.requests[c.USER_ID]) == set(truth[c.USER_ID])
        assert set(queries.requests[c.AS_OF]) == {cut}
        assert queries.history[c.TIMESTAMP].max() < cut
        assert np.isfinite(queries.profile(f.TOTAL_PURCHASES)).any()


def test_lists_are_of_the_snapshots_that_the_fits_use(
    shop, shop_events, shop_snapshots, shop_split
):
    lists = build_lists(
        shop_events.sample(fraction=1, shuffle=True, seed=2),
        shop.products,
        shop.users,
        shop_snapshots,
        shop_split,
        SAMPLING,
        FeatureOptions(),
        7,
    )
    times = lists.requests[f.SNAPSHOT_TIME].unique().sort()
    first_fit = lists.known_at(shop_split.validation_start).requests.filter(~pl.col(c.LIVE))
    assert first_fit[f.SNAPSHOT_TIME].n_unique() == 2
    assert first_fit[f.SNAPSHOT_TIME].min() == times.min()
    in_order = build_lists(
        shop_events,
        shop.products,
        shop.users,
        shop_snapshots,
        shop_split,
        SAMPLING,
        FeatureOptions(),
        7,
    )
    assert lists.requests.equals(in_order.requests)
    np.testing.assert_array_equal(lists.product, in_order.product)
