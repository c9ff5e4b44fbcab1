"""What the network reads of requests, histories and products, and that it is saved whole."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
import torch

from recsys_kedro import columns as c
from recsys_kedro.features.holidays import SHOPPING_HOLIDAYS, Holiday
from recsys_kedro.features.options import EncoderOptions
from recsys_kedro.features.schemas import USER_FEATURES
from recsys_kedro.models.hybrid_encoders import (
    HybridEncoders,
    history_tensors,
    ranges,
    time_numbers,
    with_all_features,
)
from recsys_kedro.vocabulary import Vocabulary

MONDAY_SIX = datetime(2024, 1, 1, 6, 0, tzinfo=UTC)
DAY = timedelta(days=1)


def requests(*rows):
    """Requests of ``(as_of, live, device, category)``."""
    schema = {c.AS_OF: pl.Datetime("us", "UTC"), c.LIVE: pl.Boolean}
    schema |= {c.DEVICE_TYPE: pl.String, c.CATEGORY: pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row")


@pytest.fixture(scope="module")
def features(shop, shop_snapshots, shop_split):
    """Product features as of the test cut, with names."""
    now = shop_snapshots.filter(pl.col("snapshot_time") == shop_split.test_start)
    return now.join(shop.products.select(c.PRODUCT_ID, c.NAME), on=c.PRODUCT_ID, how="left")


@pytest.fixture(scope="module")
def encoders(features, shop_lists):
    return HybridEncoders.fit(features, shop_lists.requests, EncoderOptions())


def test_time_is_a_place_on_circles():
    found = time_numbers(requests((MONDAY_SIX, True, None, None)), {}, seasonal=True)
    season, weekday = 2 * np.pi * 1 / 365.25, 2 * np.pi * 1 / 7
    expected = [np.sin(season), np.cos(season), 1, 0, np.sin(weekday), np.cos(weekday), 1]
    np.testing.assert_allclose(found, [expected], atol=1e-6)


@pytest.mark.parametrize("live", [False, None])
def test_hour_and_weekday_are_of_visits_only(live):
    found = time_numbers(requests((MONDAY_SIX, live, None, None)), {}, seasonal=False)
    np.testing.assert_array_equal(found, np.zeros((1, 7), np.float32))


def test_midnight_is_near_to_midnight():
    late = MONDAY_SIX.replace(hour=23, minute=59)
    early = MONDAY_SIX.replace(hour=0, minute=0)
    one, other = time_numbers(
        requests((late, True, None, None), (early, True, None, None)), {}, seasonal=False
    )
    np.testing.assert_allclose(one[2:4], other[2:4], atol=0.005)


@pytest.mark.parametrize(
    ("days", "seasonal"),
    [
        ((60, 120, 180, 240, 300, 360, 365), False),
        ((60, 120, 180, 240, 300, 360, 366), True),
        ((50, 110, 170, 230, 291, 350, 366), False),  # 61 days without any
        ((0, 0, 0, 0, 0, 0, 0), False),
    ],
)
def test_season_counts_once_the_requests_cover_a_year(features, shop_lists, days, seasonal):
    asked = shop_lists.requests.head(8).with_columns(
        pl.Series(c.AS_OF, [MONDAY_SIX + timedelta(days=day) for day in (0, *days)])
    )
    for shown in (False, True):
        fitted = HybridEncoders.fit(features, asked, EncoderOptions(show_holidays=shown))
        assert fitted.seasonal is seasonal
        assert fitted.holidays == (SHOPPING_HOLIDAYS if seasonal and shown else {})
        assert fitted.request_tensors(asked).time.shape == (8, fitted.time_numbers)


def test_holidays_are_near_before_and_after_them():
    holidays = {"new_year": Holiday(day="01-01"), "christmas": Holiday(day="12-25")}
    asked = requests((MONDAY_SIX, False, None, None), (MONDAY_SIX + DAY, False, None, None))
    found = time_numbers(asked, holidays, seasonal=True)[:, 7:]
    until_christmas = [(datetime(2024, 12, 25) - datetime(2024, 1, day)).days for day in (1, 2)]
    expected = [
        [1, 1, np.exp(-until_christmas[0] / 14), np.exp(-7 / 14)],
        [np.exp(-365 / 14), np.exp(-1 / 14), np.exp(-until_christmas[1] / 14), np.exp(-8 / 14)],
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_missing_features_are_empty_and_typed():
    bare = requests((MONDAY_SIX, True, None, None))
    filled = with_all_features(bare)
    for name, column in USER_FEATURES.columns.items():
        assert filled.schema[name] == column.dtype.type
    given = bare.with_columns(total_views=pl.lit(3, pl.Int64))
    assert with_all_features(given)["total_views"].to_list() == [3]


def test_ranges():
    row, number = ranges(np.array([4, 9, 0]), np.array([6, 9, 3]))
    assert row.tolist() == [0, 0, 2, 2, 2]
    assert number.tolist() == [4, 5, 0, 1, 2]
    row, number = ranges(np.empty(0, np.int64), np.empty(0, np.int64))
    assert row.tolist() == number.tolist() == []


def test_a_history_is_the_newest_known_events(make_events, ask):
    events = make_events(
        ("ann", "a", 9), ("ann", "b", 3), ("ann", "gone", 2), ("ann", "a", 1, c.CLICK),
        ("ben", "b", 4),
    )  # fmt: skip
    queries = ask(events, "ann", "nobody", "ben")
    found = history_tensors(queries, Vocabulary.fit(pl.Series(["a", "b"])), most=3)
    assert found.product.tolist() == [1, 0, 1]  # "gone" is one of the three, "a" of day 9 is not
    assert found.row.tolist() == [0, 0, 2]
    kinds = [c.PURCHASE, c.CLICK, c.PURCHASE]
    assert found.event_type.tolist() == [c.EVENT_TYPES.index(kind) for kind in kinds]
    np.testing.assert_allclose(found.log_age, np.log([1 + 3, 1 + 1, 1 + 4]), rtol=1e-6)


def test_missing_and_unknown_context(encoders, shop_lists):
    known = shop_lists.requests[c.DEVICE_TYPE].drop_nulls()[0]
    asked = requests(
        (MONDAY_SIX, True, None, None),
        (MONDAY_SIX, True, "toaster 🍞", "no such category"),
        (MONDAY_SIX, True, known, encoders.products.category.vocabulary.ids[0]),
    )
    found = encoders.request_tensors(asked)
    assert found.device[:2].tolist() == found.category[:2].tolist() == [0, 1]
    assert found.device[2] >= 2
    assert found.category[2] == 2
    assert torch.isfinite(found.profile).all()
    assert found.profile.shape == (3, len(encoders.users.numbers.names))


def test_products_keep_the_order_of_the_rows(encoders, features):
    whole, turned = (encoders.product_tensors(table) for table in (features, features.reverse()))
    assert torch.equal(whole.category.flip(0), turned.category)
    assert torch.equal(whole.numbers.flip(0), turned.numbers)
    assert int(whole.token_offsets[-1]) == len(whole.tokens) > features.height


def test_loaded_encoders_give_the_same_tensors(encoders, features, shop_lists, tmp_path):
    other_season = replace(encoders, seasonal=True, holidays=dict(SHOPPING_HOLIDAYS))
    for number, kept in enumerate((encoders, other_season)):
        kept.save(tmp_path / str(number))
        loaded = HybridEncoders.load(tmp_path / str(number))
        assert loaded.holidays == kept.holidays
        asked = shop_lists.requests.head(50)
        pairs = [
            (kept.product_tensors(features), loaded.product_tensors(features)),
            (kept.request_tensors(asked), loaded.request_tensors(asked)),
        ]
        for one, other in pairs:
            for name in one._fields:
                assert torch.equal(getattr(one, name), getattr(other, name)), name
