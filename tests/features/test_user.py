"""User features: what each means, on tables small enough to count by hand."""

import importlib.util
import math
from datetime import UTC, datetime, timedelta
from pathlib import Path

import narwhals as nw
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from recsys_kedro import columns as c
from recsys_kedro.features import columns as f
from recsys_kedro.features.options import FeatureOptions
from recsys_kedro.features.schemas import USER_FEATURES
from recsys_kedro.features.user import user_features

OPTIONS = FeatureOptions()
BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
DAY = timedelta(days=1)


def features_of(events, products, users, as_of, options=OPTIONS):
    frames = (nw.from_native(table.lazy()) for table in (events, products, users))
    return user_features(*frames, as_of, options).to_native().collect()


@pytest.fixture
def one_user(make_events, make_products, make_users, as_of):
    """The features of the only user, from event rows (and product and user rows)."""

    def features(*rows, products=(), users=(), **options):
        table = features_of(
            make_events(*rows),
            make_products(*products),
            make_users(*users),
            as_of,
            FeatureOptions(**options),
        )
        return table.row(0, named=True)

    return features


def test_totals_count_each_event_type(one_user):
    kinds = [c.PRODUCT_VIEW] * 4 + [c.CLICK] * 3 + [c.ADD_TO_CART] * 2 + [c.PURCHASE, c.RETURN]
    user = one_user(*({c.EVENT_TYPE: kind} for kind in kinds))
    names = (f.TOTAL_VIEWS, f.TOTAL_CLICKS, f.TOTAL_ADD_TO_CART, f.TOTAL_PURCHASES, f.TOTAL_RETURNS)
    assert [user[name] for name in names] == [4, 3, 2, 1, 1]
    assert user[f.CLICK_THROUGH_RATE] == 3 / 4
    assert user[f.PURCHASE_RATE] == 1 / 3


def test_rates_when_the_denominator_is_zero(one_user):
    user = one_user({c.EVENT_TYPE: c.PURCHASE}, {c.EVENT_TYPE: c.PURCHASE})
    assert user[f.CLICK_THROUGH_RATE] == 0 / 1
    assert user[f.PURCHASE_RATE] == 2 / 1


def test_window_begins_with_its_first_moment_and_ends_before_as_of(one_user):
    user = one_user(
        {"ago": 30 * DAY + timedelta(microseconds=1)},
        {"ago": 30 * DAY},
        {"ago": timedelta(microseconds=1)},
        {"ago": timedelta(0)},
        {"ago": -DAY},
    )
    assert user[f.TOTAL_VIEWS] == 2


def test_lookback_is_an_option(one_user):
    rows = [{"ago": days * DAY} for days in (1, 5, 9)]
    assert one_user(*rows, lookback_days=5)[f.TOTAL_VIEWS] == 2


def test_top_categories_by_count_then_name_then_the_products_category(one_user):
    user = one_user(
        {c.CATEGORY: "b"},
        {c.CATEGORY: "a"},
        {c.CATEGORY: "d"},
        {c.CATEGORY: "d"},
        {c.PRODUCT_ID: "lamp"},
        {c.PRODUCT_ID: "lamp"},
        {c.PRODUCT_ID: "lamp"},
        {c.PRODUCT_ID: "lamp", c.CATEGORY: "f"},
        {c.PRODUCT_ID: "lamp", c.CATEGORY: "e"},
        {c.PRODUCT_ID: "of no category"},
        products=[{c.PRODUCT_ID: "lamp", c.CATEGORY: "light"}],
    )
    assert [user[name] for name in f.TOP_CATEGORIES] == ["light", "d", "a", "b", "e"]
    assert [user[name] for name in f.TOP_CATEGORY_COUNTS] == [3, 2, 1, 1, 1]


def test_prices_of_purchases_only_whatever_the_quantity(one_user):
    user = one_user(
        {c.EVENT_TYPE: c.PURCHASE, c.PRICE: 1.0, c.QUANTITY: 50.0},
        {c.EVENT_TYPE: c.PURCHASE, c.PRICE: 2.0},
        {c.EVENT_TYPE: c.PURCHASE, c.PRODUCT_ID: "listed"},
        {c.EVENT_TYPE: c.PURCHASE, c.PRODUCT_ID: "of no price"},
        {c.EVENT_TYPE: c.PRODUCT_VIEW, c.PRICE: 100.0},
        products=[{c.PRODUCT_ID: "listed", c.PRICE: 9.0}],
    )
    mean = (1 + 2 + 9) / 3
    assert user[f.HAS_PURCHASE_PRICE]
    assert user[f.AVG_PURCHASE_PRICE] == pytest.approx(mean, abs=1e-6)
    assert user[f.MEDIAN_PURCHASE_PRICE] == 2
    variance = ((1 - mean) ** 2 + (2 - mean) ** 2 + (9 - mean) ** 2) / (3 - 1)
    assert user[f.PRICE_STD] == pytest.approx(math.sqrt(variance), abs=1e-6)


def test_median_of_an_even_number_of_prices_lies_between_the_middle_two(one_user):
    prices = (1.0, 2.0, 4.0, 100.0)
    user = one_user(*({c.EVENT_TYPE: c.PURCHASE, c.PRICE: price} for price in prices))
    assert user[f.MEDIAN_PURCHASE_PRICE] == (2 + 4) / 2


def test_one_price_has_no_spread(one_user):
    user = one_user({c.EVENT_TYPE: c.PURCHASE, c.PRICE: 3.0})
    assert (user[f.AVG_PURCHASE_PRICE], user[f.PRICE_STD]) == (3, 0)


def test_peak_hour_and_day_with_ties_to_the_earliest(one_user):
    # as_of is a Monday, 12:30.
    user = one_user(
        {"ago": 2 * DAY},  # Saturday, 12
        {"ago": 2 * DAY + timedelta(hours=4)},  # Saturday, 8
        {"ago": 4 * DAY},  # Thursday, 12
        {"ago": 4 * DAY + timedelta(hours=4)},  # Thursday, 8
        {"ago": 5 * DAY + timedelta(hours=1)},  # Wednesday, 11
    )
    assert user[f.PEAK_HOUR] == 8
    assert user[f.HOUR_CONCENTRATION] == 2 / 5
    assert user[f.PEAK_DAY] == 3


def test_sessions(one_user):
    user = one_user(
        {c.SESSION_ID: "one", c.PRODUCT_ID: "a"},
        {c.SESSION_ID: "one", c.PRODUCT_ID: "a"},
        {c.SESSION_ID: "one", c.PRODUCT_ID: "b"},
        {c.SESSION_ID: "two", c.PRODUCT_ID: "a"},
    )
    assert user[f.AVG_SESSION_LENGTH] == (3 + 1) / 2
    assert user[f.AVG_PRODUCTS_PER_SESSION] == (2 + 1) / 2


@pytest.mark.parametrize(
    ("ago", "days"),
    [
        (timedelta(microseconds=1), 0),
        (DAY - timedelta(microseconds=1), 0),
        (DAY, 1),
        (45 * DAY, 45),
        (400 * DAY, 365),
    ],
)
def test_days_since_last_visit_look_past_the_window_up_to_the_cap(one_user, ago, days):
    assert one_user({"ago": ago}, never_days=365)[f.DAYS_SINCE_LAST_VISIT] == days


def test_days_are_right_across_leap_years(make_events, make_products, make_users):
    as_of = datetime(2024, 3, 1, 0, 0, tzinfo=UTC)
    seen = datetime(2023, 2, 28, 23, 59, 59, 999_999, tzinfo=UTC)
    events = make_events({c.TIMESTAMP: seen})
    user = features_of(events, make_products(), make_users(), as_of).row(0, named=True)
    assert user[f.DAYS_SINCE_LAST_VISIT] == (as_of - seen).days == 366


def test_a_return_is_neither_a_visit_nor_an_interest(one_user):
    user = one_user({c.EVENT_TYPE: c.RETURN, c.CATEGORY: "a", c.PRICE: 5.0})
    assert user[f.TOTAL_RETURNS] == 1
    assert user[f.TOP_CATEGORIES[0]] is None
    assert user[f.PEAK_HOUR] == f.NO_PEAK
    assert user[f.AVG_SESSION_LENGTH] == 0
    assert user[f.DAYS_SINCE_LAST_VISIT] == 999


def test_profile_as_given(one_user, as_of):
    profile = {
        c.USER_ID: "u",
        c.SEGMENT: "gold",
        c.LIFETIME_VALUE: 12.5,
        c.CREATED_AT: as_of - 10 * DAY + timedelta(seconds=1),
    }
    user = one_user({}, users=[profile])
    assert (user[f.USER_SEGMENT], user[c.LIFETIME_VALUE]) == ("gold", 12.5)
    assert user[f.ACCOUNT_AGE_DAYS] == 9


def test_account_age_is_never_negative_and_falls_back_on_the_first_event(one_user, as_of):
    later = {c.USER_ID: "u", c.CREATED_AT: as_of + DAY}
    assert one_user({}, users=[later])[f.ACCOUNT_AGE_DAYS] == 0
    assert one_user({"ago": 70 * DAY}, {"ago": DAY})[f.ACCOUNT_AGE_DAYS] == 70


def test_a_quiet_user_has_defined_values(one_user):
    user = one_user(users=[{c.USER_ID: "quiet"}])
    assert user == {
        c.USER_ID: "quiet",
        **dict.fromkeys((f.TOTAL_VIEWS, f.TOTAL_CLICKS, f.TOTAL_ADD_TO_CART), 0),
        **dict.fromkeys((f.TOTAL_PURCHASES, f.TOTAL_RETURNS), 0),
        **dict.fromkeys((f.CLICK_THROUGH_RATE, f.PURCHASE_RATE), 0.0),
        **dict.fromkeys(f.TOP_CATEGORIES),
        **dict.fromkeys(f.TOP_CATEGORY_COUNTS, 0),
        f.HAS_PURCHASE_PRICE: False,
        **dict.fromkeys((f.AVG_PURCHASE_PRICE, f.MEDIAN_PURCHASE_PRICE, f.PRICE_STD), 0.0),
        **dict.fromkeys((f.PEAK_HOUR, f.PEAK_DAY), -1),
        **dict.fromkeys((f.HOUR_CONCENTRATION, f.AVG_SESSION_LENGTH), 0.0),
        f.AVG_PRODUCTS_PER_SESSION: 0.0,
        f.DAYS_SINCE_LAST_VISIT: 999,
        f.USER_SEGMENT: "unknown",
        c.LIFETIME_VALUE: 0.0,
        f.ACCOUNT_AGE_DAYS: 0,
    }


def test_users_are_those_of_the_table_and_those_with_a_past(
    make_events, make_products, make_users, as_of
):
    events = make_events({c.USER_ID: "past", "ago": 300 * DAY}, {c.USER_ID: "future", "ago": -DAY})
    table = features_of(events, make_products(), make_users({c.USER_ID: "table"}), as_of)
    assert table[c.USER_ID].to_list() == ["past", "table"]


def test_a_naive_as_of_is_refused(make_events, make_products, make_users):
    with pytest.raises(ValueError, match="has no time zone"):
        features_of(make_events({}), make_products(), make_users(), datetime(2025, 1, 1))


def test_no_events_at_all_keep_the_schema(make_events, make_products, make_users, as_of):
    table = features_of(make_events(), make_products(), make_users({c.USER_ID: "u"}), as_of)
    USER_FEATURES.validate(table)
    assert table.height == 1


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), cut=st.integers(0, 80))
def test_events_at_or_after_as_of_change_nothing(random_shop, seed, cut):
    events, products, users = random_shop(seed, size=200)
    as_of = events[c.TIMESTAMP].max() - cut * DAY
    past = events.filter(pl.col(c.TIMESTAMP) < as_of)
    assert past.height < events.height
    assert_frame_equal(
        features_of(events.sample(fraction=1, shuffle=True, seed=seed), products, users, as_of),
        features_of(past, products, users, as_of),
    )


def test_the_same_tables_give_the_same_bits(random_shop, as_of):
    tables = random_shop(6, size=20_000)
    first = features_of(*tables, as_of)
    assert all(features_of(*tables, as_of).equals(first) for _ in range(5))


@pytest.mark.parametrize("seed", [1, 2])
def test_equals_one_pandas_pass_for_each_user(random_shop, as_of, seed):
    events, products, users = random_shop(seed)
    ours = features_of(events, products, users, as_of)
    USER_FEATURES.validate(ours)
    expected = pl.DataFrame(
        [_reference(row, events, products, users, as_of) for row in ours[c.USER_ID]],
        schema=ours.schema,
    )
    assert_frame_equal(ours, expected, abs_tol=1e-6, rel_tol=0)


def _reference(user, events, products, users, as_of):
    spec = importlib.util.spec_from_file_location(
        "per_user_features", BENCHMARKS / "per_user_features.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    profile = users.filter(pl.col(c.USER_ID) == user)
    features = module.create_user_features(
        events.filter(pl.col(c.USER_ID) == user).to_pandas(),
        dict(products.select(c.PRODUCT_ID, c.CATEGORY).iter_rows()),
        dict(products.select(c.PRODUCT_ID, c.PRICE).iter_rows()),
        profile.row(0, named=True) if profile.height else {},
        as_of,
    )
    return {c.USER_ID: user, **features}
