from datetime import UTC, datetime
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from recsys_kedro import columns as c
from recsys_kedro import schemas
from recsys_kedro.simulation.options import SimulationOptions
from recsys_kedro.simulation.shop import simulate_shop

TABLES = ("events", "products", "users")
FUNNEL = [c.PRODUCT_VIEW, c.CLICK, c.ADD_TO_CART, c.PURCHASE]


def test_same_seed_gives_the_same_shop(shop, shop_options):
    again = simulate_shop(shop_options, seed=7)
    for table in TABLES:
        assert_frame_equal(getattr(again, table), getattr(shop, table))


def test_other_seed_gives_another_shop(shop, shop_options):
    other = simulate_shop(shop_options, seed=8)
    for table in TABLES:
        assert not getattr(other, table).equals(getattr(shop, table))


def test_products_do_not_depend_on_how_many_users_there_are(shop, shop_options):
    few = simulate_shop(shop_options.model_copy(update={"users": 20}), seed=7)
    assert_frame_equal(few.products, shop.products)


def test_tables_keep_the_data_contract(shop):
    raw = shop.events.with_row_index(c.SOURCE_ROW, offset=1)
    events = raw.with_columns(
        pl.col(c.SOURCE_ROW).cast(pl.Int64),
        pl.lit(None, pl.String).alias(c.RECOMMENDATION_ID),
    )
    schemas.EVENTS.validate(events)
    schemas.PRODUCTS.validate(shop.products)
    schemas.USERS.validate(shop.users)
    assert shop.events[c.EVENT_ID].is_unique().all()
    assert set(shop.events[c.USER_ID]) <= set(shop.users[c.USER_ID])
    assert set(shop.events[c.PRODUCT_ID]) <= set(shop.products[c.PRODUCT_ID])


def test_json_columns_are_json(shop):
    features = shop.products[c.FEATURES].str.json_decode(
        pl.Struct({"style": pl.String, "consumable": pl.Boolean})
    )
    assert features.struct.field("consumable").mean() == pytest.approx(0.3, abs=0.12)
    stated = shop.users[c.PREFERENCES].str.json_decode(
        pl.Struct({"favourite_categories": pl.List(pl.String), "newsletter": pl.Boolean})
    )
    length = stated.struct.field("favourite_categories").list.len()
    assert set(length) == {0, 2}


@pytest.mark.parametrize(("sooner", "later"), list(pairwise(FUNNEL)))
def test_funnel_is_in_time_order(shop, sooner, later):
    key = [c.SESSION_ID, c.USER_ID, c.PRODUCT_ID]
    first, then = (
        shop.events.filter(pl.col(c.EVENT_TYPE) == kind).select(*key, c.TIMESTAMP)
        for kind in (sooner, later)
    )
    both = then.join(first, on=key, how="left", suffix="_before", validate="1:1")
    assert both.height > 100
    assert (both[c.TIMESTAMP] > both[f"{c.TIMESTAMP}_before"]).all(ignore_nulls=False)


def test_one_checkout_has_one_time(shop):
    bought = shop.events.filter(pl.col(c.EVENT_TYPE) == c.PURCHASE)
    times = bought.group_by(c.SESSION_ID).agg(pl.col(c.TIMESTAMP).n_unique(), pl.len())
    assert times["len"].max() > 1
    assert times[c.TIMESTAMP].max() == 1


def test_returns_are_rare_and_follow_a_purchase_of_the_same_product(shop_options):
    options = shop_options.model_copy(update={"return_share": 0.2})
    events = simulate_shop(options, seed=7).events
    kinds = dict(events[c.EVENT_TYPE].value_counts().iter_rows())
    assert kinds[c.RETURN] / kinds[c.PURCHASE] == pytest.approx(0.2, abs=0.05)
    key = [c.USER_ID, c.PRODUCT_ID]
    first = (
        events.filter(pl.col(c.EVENT_TYPE) == c.PURCHASE)
        .group_by(key)
        .agg(pl.col(c.TIMESTAMP).min().alias("bought"))
    )
    back = events.filter(pl.col(c.EVENT_TYPE) == c.RETURN).join(first, on=key, how="left")
    assert (back[c.TIMESTAMP] > back["bought"]).all(ignore_nulls=False)


def test_nothing_happens_before_creation_or_outside_the_period(shop):
    events = shop.events.join(
        shop.products.select(c.PRODUCT_ID, product_made=c.CREATED_AT), on=c.PRODUCT_ID
    ).join(shop.users.select(c.USER_ID, user_made=c.CREATED_AT), on=c.USER_ID)
    assert (events[c.TIMESTAMP] >= events["product_made"]).all(ignore_nulls=False)
    assert (events[c.TIMESTAMP] >= events["user_made"]).all(ignore_nulls=False)
    assert events[c.TIMESTAMP].min() >= datetime(2024, 1, 1, tzinfo=UTC)
    assert events[c.TIMESTAMP].max() < datetime(2024, 4, 30, tzinfo=UTC)
    start = datetime(2024, 1, 1, tzinfo=UTC)
    assert events.filter(pl.col("product_made") > start).height > 100


def test_lifetime_value_is_from_before_the_period(shop):
    joined = shop.users[c.CREATED_AT] >= datetime(2024, 1, 1, tzinfo=UTC)
    assert (shop.users[c.LIFETIME_VALUE].filter(joined) == 0).all()
    assert (shop.users[c.LIFETIME_VALUE].filter(~joined) > 0).mean() > 0.95


def test_seasons_are_visible():
    options = SimulationOptions(users=1_000, products=100, categories=5, brands=10, signal=0.0)
    shop = simulate_shop(options, seed=1)
    months = shop.events.group_by(c.CATEGORY).agg(
        winter=pl.col(c.TIMESTAMP).dt.month().is_in([12, 1, 2]).mean(),
        summer=pl.col(c.TIMESTAMP).dt.month().is_in([6, 7, 8]).mean(),
    )
    ratio = np.log((months["winter"] / months["summer"]).to_numpy())
    assert np.ptp(ratio) > 0.7


def test_consumables_are_bought_again_and_durables_hardly(shop):
    features = shop.products.select(c.PRODUCT_ID, c.FEATURES)
    bought = shop.events.filter(pl.col(c.EVENT_TYPE) == c.PURCHASE)
    times = bought.group_by(c.USER_ID, c.PRODUCT_ID).len().join(features, on=c.PRODUCT_ID)
    consumable = pl.col(c.FEATURES).str.contains('"consumable":true')
    again = pl.col("len") > 1
    of_consumables = times.filter(consumable).select(again.mean()).item()
    of_durables = times.filter(~consumable).select(again.mean()).item()
    assert of_consumables > 2 * of_durables


def test_activity_is_heavy_tailed(shop):
    per_user = np.sort(shop.events[c.USER_ID].value_counts()["count"].to_numpy())
    assert per_user[-40:].sum() / per_user.sum() > 0.25


@pytest.mark.parametrize("signal", [0.0, 1.0, 2.0])
@pytest.mark.parametrize(("users", "events_per_user"), [(300, 40.0), (1_200, 80.0)])
def test_size_is_as_asked(users, events_per_user, signal):
    options = SimulationOptions(
        users=users,
        products=200,
        categories=8,
        days=90,
        events_per_user=events_per_user,
        signal=signal,
    )
    shop = simulate_shop(options, seed=3)
    assert shop.events.height == pytest.approx(users * events_per_user, rel=0.1)
    assert shop.users.height == users
    assert shop.products.height == 200
    assert shop.products[c.CATEGORY].n_unique() == 8


def test_smallest_shop():
    options = SimulationOptions(
        users=1, products=1, categories=1, brands=1, days=1, events_per_user=0.01
    )
    shop = simulate_shop(options, seed=0)
    assert shop.products.height == shop.users.height == 1
    assert shop.events.schema == simulate_shop(SimulationOptions(users=50), 0).events.schema
