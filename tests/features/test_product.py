"""Product features: what each means, on tables small enough to count by hand."""

import math
from datetime import timedelta

import narwhals as nw
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from recsys_kedro import columns as c
from recsys_kedro.features import columns as f
from recsys_kedro.features.options import FeatureOptions
from recsys_kedro.features.product import product_features
from recsys_kedro.features.schemas import PRODUCT_FEATURES

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
VIEW = {c.EVENT_TYPE: c.PRODUCT_VIEW}
BUY = {c.EVENT_TYPE: c.PURCHASE}


def features_of(events, products, as_of, **options):
    frames = (nw.from_native(table.lazy()) for table in (events, products))
    return product_features(*frames, as_of, FeatureOptions(**options)).to_native().collect()


@pytest.fixture
def one_product(make_events, make_products, as_of):
    """The features of the only product, from event rows and the product's row."""

    def features(*rows, **product):
        products = make_products({c.PRODUCT_ID: "p", **product})
        return features_of(make_events(*rows), products, as_of).row(0, named=True)

    return features


def test_counts_over_1_7_and_30_days(one_product):
    agos = (0 * DAY, HOUR, DAY, DAY + HOUR, 7 * DAY, 8 * DAY, 30 * DAY, 31 * DAY, -DAY)
    product = one_product(*({**kind, "ago": ago} for kind in (VIEW, BUY) for ago in agos))
    assert [product[n] for n in (f.VIEWS_1D, f.VIEWS_7D, f.VIEWS_30D)] == [2, 4, 6]
    assert [product[n] for n in (f.PURCHASES_1D, f.PURCHASES_7D, f.PURCHASES_30D)] == [2, 4, 6]
    assert product[f.PURCHASES_ALL_TIME] == 7
    assert product[f.CONVERSION_RATE] == 6 / 6
    assert product[f.TRENDING_SCORE] == 4 / 6


def test_rates_of_a_shop_without_views(one_product):
    product = one_product({**BUY, "ago": DAY}, {**BUY, "ago": 8 * DAY}, {**BUY, "ago": 9 * DAY})
    assert product[f.CONVERSION_RATE] == 3 / 1
    assert product[f.TRENDING_SCORE] == 1 / 3


def test_revenue_is_price_times_pieces_of_the_last_30_days(one_product):
    product = one_product(
        {**BUY, c.PRICE: 2.0, c.QUANTITY: 3.0},
        {**BUY, c.QUANTITY: 2.0},
        {**BUY, c.PRICE: 9.0, "ago": 31 * DAY},
        {c.EVENT_TYPE: c.RETURN, c.PRICE: 2.0},
        {**VIEW, c.PRICE: 2.0},
        **{c.PRICE: 5.0},
    )
    assert product[f.REVENUE_30D] == 2 * 3 + 5 * 2
    assert product[f.RETURNS_30D] == 1


def test_price_is_that_of_the_latest_event_before_as_of(one_product):
    product = one_product(
        {**VIEW, c.PRICE: 3.0, "ago": 40 * DAY},
        {**VIEW, c.PRICE: 4.0, "ago": 2 * DAY},
        {**VIEW, "ago": DAY},
        {c.EVENT_TYPE: c.RETURN, c.PRICE: 1.0, "ago": DAY},
        {**VIEW, c.PRICE: 9.0, "ago": 0 * DAY},
        **{c.PRICE: 7.0},
    )
    assert product[c.PRICE] == 4
    assert product[f.LOG_PRICE] == pytest.approx(math.log(1 + 4))


def test_prices_of_the_same_time_give_the_highest(one_product):
    assert one_product({**BUY, c.PRICE: 3.0}, {**BUY, c.PRICE: 5.0})[c.PRICE] == 5


def test_price_without_priced_events_is_the_list_price_or_empty(one_product):
    assert one_product(VIEW, **{c.PRICE: 7.0})[c.PRICE] == 7
    assert one_product(VIEW)[c.PRICE] is None
    assert one_product(VIEW)[f.LOG_PRICE] is None


@pytest.mark.parametrize(("stock", "in_stock"), [(3, True), (0, False), (None, True)])
def test_in_stock(one_product, stock, in_stock):
    assert one_product(**{c.STOCK_QUANTITY: stock})[f.IN_STOCK] is in_stock


def test_ages(one_product, as_of):
    product = one_product(
        {**BUY, "ago": 3 * DAY + HOUR}, {**VIEW, "ago": DAY}, **{c.CREATED_AT: as_of - 50 * DAY}
    )
    assert product[f.DAYS_SINCE_LAST_PURCHASE] == 3
    assert product[f.PRODUCT_AGE_DAYS] == 50
    assert one_product({**VIEW, "ago": 20 * DAY})[f.PRODUCT_AGE_DAYS] == 20
    never = one_product()
    assert (never[f.DAYS_SINCE_LAST_PURCHASE], never[f.PRODUCT_AGE_DAYS]) == (999, None)


def test_known_products_only(make_events, make_products, as_of):
    products = make_products(
        {c.PRODUCT_ID: "created before", c.CREATED_AT: as_of - DAY},
        {c.PRODUCT_ID: "created at as_of", c.CREATED_AT: as_of},
        {c.PRODUCT_ID: "created later, sold before", c.CREATED_AT: as_of + DAY},
        {c.PRODUCT_ID: "no time"},
    )
    events = make_events(
        {c.PRODUCT_ID: "created later, sold before"},
        {c.PRODUCT_ID: "created at as_of", "ago": -DAY},
        {c.PRODUCT_ID: "not in the table"},
        {c.PRODUCT_ID: "not in the table later", "ago": -DAY},
    )
    table = features_of(events, products, as_of)
    assert table[c.PRODUCT_ID].to_list() == [
        "created before",
        "created later, sold before",
        "no time",
        "not in the table",
    ]
    assert table[f.PRODUCT_AGE_DAYS].to_list() == [1, 0, None, 1]


def test_no_events_at_all_keep_the_schema(make_events, make_products, as_of):
    table = features_of(make_events(), make_products({c.PRODUCT_ID: "p"}), as_of)
    PRODUCT_FEATURES.validate(table)
    assert table.height == 1


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), cut=st.integers(0, 80))
def test_events_and_products_at_or_after_as_of_change_nothing(random_shop, seed, cut):
    events, products, _ = random_shop(seed, size=200)
    as_of = events[c.TIMESTAMP].max() - cut * DAY
    past = events.filter(pl.col(c.TIMESTAMP) < as_of)
    created = pl.col(c.CREATED_AT).is_null() | (pl.col(c.CREATED_AT) < as_of)
    sold = pl.col(c.PRODUCT_ID).is_in(past[c.PRODUCT_ID].to_list())
    shuffled = events.sample(fraction=1, shuffle=True, seed=seed)
    assert_frame_equal(
        features_of(shuffled, products, as_of),
        features_of(past, products.filter(created | sold), as_of),
    )
