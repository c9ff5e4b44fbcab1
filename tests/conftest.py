from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

import narwhals as nw
import polars as pl
import pytest
from hypothesis import settings

from recsys_kedro import columns as c
from recsys_kedro.features.options import FeatureOptions
from recsys_kedro.features.snapshots import product_snapshots, snapshot_times
from recsys_kedro.schemas import EVENTS
from recsys_kedro.simulation.options import SimulationOptions
from recsys_kedro.simulation.shop import Shop, simulate_shop
from recsys_kedro.splits import SplitOptions, TimeSplit, make_time_split
from recsys_kedro.training_lists import SamplingOptions, TrainingLists, build_training_lists

# How long an example takes says more of the machine than of the code.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

pytest_plugins = ["servers.kafka", "servers.object_store", "servers.postgres"]


@pytest.fixture(scope="session")
def shop_options() -> SimulationOptions:
    """The size of ``shop``: the same as conf/test."""
    return SimulationOptions(
        users=400, products=150, categories=10, brands=20, days=120, events_per_user=62.5
    )


@pytest.fixture(scope="session")
def shop(shop_options) -> Shop:
    """A small simulated shop with known tastes: about 25,000 events in 120 days."""
    return simulate_shop(shop_options, seed=7)


@pytest.fixture(scope="session")
def shop_events(shop) -> pl.DataFrame:
    """The events of ``shop`` as the ingestion leaves them."""
    rows = pl.int_range(pl.len(), dtype=pl.Int64).alias(c.SOURCE_ROW)
    none = pl.lit(None, pl.String).alias(c.RECOMMENDATION_ID)
    events = shop.events.with_columns(rows, none).select(list(EVENTS.columns))
    return events.sort(c.USER_ID, c.TIMESTAMP, c.SOURCE_ROW)


@pytest.fixture(scope="session")
def shop_split(shop_events) -> TimeSplit:
    """Windows of two weeks."""
    return make_time_split(shop_events, None, SplitOptions(horizon_days=14))


@pytest.fixture(scope="session")
def shop_snapshots(shop, shop_events, shop_split) -> pl.DataFrame:
    """Product features every week from six weeks before the validation window, and at the cuts."""
    first = shop_split.validation_start - timedelta(weeks=6)
    weekly = snapshot_times(first, shop_split.as_of, shop_split.test_start, every_days=7)
    times = [*weekly, shop_split.as_of]
    tables = (nw.from_native(table.lazy()) for table in (shop_events, shop.products))
    return product_snapshots(*tables, times, FeatureOptions()).collect().to_native()


@pytest.fixture(scope="session")
def build_shop_lists(shop, shop_events, shop_snapshots, shop_split):
    """Builds training lists of ``shop``; what is given takes the place of its own."""

    def build(events=None, snapshots=None, seed=7, **options) -> TrainingLists:
        options = {"window_queries": 40, "session_queries": 20, "list_negatives": 30} | options
        return build_training_lists(
            shop_events if events is None else events,
            shop.products,
            shop.users,
            shop_snapshots if snapshots is None else snapshots,
            shop_split,
            SamplingOptions(**options),
            FeatureOptions(),
            seed,
        )

    return build


@pytest.fixture(scope="session")
def shop_lists(build_shop_lists) -> TrainingLists:
    """Some hundred training lists of ``shop``."""
    return build_shop_lists()


class OldShop(NamedTuple):
    """A shop with a log of two years."""

    events: pl.DataFrame
    products: pl.DataFrame
    users: pl.DataFrame
    snapshots: pl.DataFrame
    split: TimeSplit


@pytest.fixture(scope="session")
def old_shop() -> OldShop:
    """From 2023 to 2024, as small as may be; a snapshot every week and as of the end."""
    sizes = SimulationOptions(
        users=300, products=60, categories=6, brands=8, start=date(2023, 1, 1), days=731,
        events_per_user=90,
    )  # fmt: skip
    shop = simulate_shop(sizes, seed=11)
    rows = pl.int_range(pl.len(), dtype=pl.Int64).alias(c.SOURCE_ROW)
    none = pl.lit(None, pl.String).alias(c.RECOMMENDATION_ID)
    events = shop.events.with_columns(rows, none).select(list(EVENTS.columns))
    events = events.sort(c.USER_ID, c.TIMESTAMP, c.SOURCE_ROW)
    split = make_time_split(events, None, SplitOptions(horizon_days=14))
    first = events[c.TIMESTAMP].min()
    weekly = snapshot_times(first, split.as_of, split.test_start, every_days=7)
    tables = (nw.from_native(table.lazy()) for table in (events, shop.products))
    snapshots = product_snapshots(*tables, [*weekly, split.as_of], FeatureOptions())
    return OldShop(events, shop.products, shop.users, snapshots.collect().to_native(), split)


START = datetime(2024, 1, 1, tzinfo=UTC)


def _day(number):
    return START + timedelta(days=number)


def _make_events(*rows):
    types = {name: column.dtype.type for name, column in EVENTS.columns.items()}
    filled = [
        {
            c.EVENT_TYPE: kind[0] if kind else c.PURCHASE,
            c.USER_ID: user,
            c.PRODUCT_ID: product,
            c.TIMESTAMP: _day(number),
            c.SESSION_ID: f"{user}-{number}",
            c.QUANTITY: 1.0,
            c.SOURCE_ROW: row,
        }
        for row, (user, product, number, *kind) in enumerate(rows)
    ]
    return pl.DataFrame(filled, schema=types)


@pytest.fixture(scope="session")
def day():
    """The time so many days after the start of 2024, UTC."""
    return _day


@pytest.fixture(scope="session")
def make_events():
    """Events of ``(user, product, day)``, bought, or of ``(user, product, day, type)``.

    Equal days are equal times, and one session of the user.
    """
    return _make_events
