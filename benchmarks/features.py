"""How fast user features of a simulated shop are, against one pandas pass for each user.

Run: ``python benchmarks/features.py``. The peer gets its events already split by user, and
that split is not counted; it runs on a sample of users and is compared by events per second.
"""

import statistics
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
import polars as pl
import report
from per_user_features import create_user_features

from recsys_kedro import columns as c
from recsys_kedro.features.options import FeatureOptions
from recsys_kedro.features.user import user_features
from recsys_kedro.simulation.options import SimulationOptions
from recsys_kedro.simulation.shop import Shop, simulate_shop

EVENTS = 1_000_000
EVENTS_PER_USER = 20
SAMPLED_USERS = 300
REPEATS = 5
SEED = 0


def make_shop() -> Shop:
    """About a million events in 30 days, so that all lie in the window of the features."""
    users = EVENTS // EVENTS_PER_USER
    options = SimulationOptions(users=users, events_per_user=EVENTS_PER_USER, days=30)
    return simulate_shop(options, SEED)


def median_seconds(run: Callable[[], object]) -> float:
    """Of :data:`REPEATS` runs after one that is not counted."""
    run()
    return statistics.median(report.seconds(run, REPEATS))


def ours(shop: Shop, as_of: datetime) -> Callable[[], object]:
    """All users at once."""
    frames = [nw.from_native(t.lazy()) for t in (shop.events, shop.products, shop.users)]
    return user_features(*frames, as_of, FeatureOptions()).collect


def sample(shop: Shop) -> list[tuple[pd.DataFrame, dict[str, Any]]]:
    """The events and the profile of each sampled user."""
    rng = np.random.default_rng(SEED)
    chosen = rng.choice(shop.users[c.USER_ID].to_numpy(), SAMPLED_USERS, replace=False).tolist()
    events = shop.events.filter(pl.col(c.USER_ID).is_in(chosen)).to_pandas()
    profiles = shop.users.rows_by_key(c.USER_ID, named=True, unique=True)
    return [(events[events[c.USER_ID] == user], profiles[user]) for user in chosen]


def peer(
    users: list[tuple[pd.DataFrame, dict[str, Any]]], products: pl.DataFrame, as_of: datetime
) -> Callable[[], object]:
    """One user after the other."""
    categories = dict(products.select(c.PRODUCT_ID, c.CATEGORY).iter_rows())
    prices = dict(products.select(c.PRODUCT_ID, c.PRICE).iter_rows())
    return lambda: [
        create_user_features(events, categories, prices, profile, as_of)
        for events, profile in users
    ]


def main() -> None:
    """Measure and write the report."""
    shop = make_shop()
    as_of = shop.events[c.TIMESTAMP].max() + timedelta(microseconds=1)
    users = sample(shop)
    our_seconds = median_seconds(ours(shop, as_of))
    peer_seconds = median_seconds(peer(users, shop.products, as_of))
    our_rate = shop.events.height / our_seconds
    peer_rate = sum(len(events) for events, _ in users) / peer_seconds
    report.write_report(
        "features",
        {
            "data": "simulated shop",
            "events": shop.events.height,
            "users": shop.users.height,
            "repeats": REPEATS,
            "user_features_median_s": round(our_seconds, 4),
            "user_features_events_per_s": round(our_rate),
            "per_user_pandas_sampled_users": SAMPLED_USERS,
            "per_user_pandas_median_ms_per_user": round(1_000 * peer_seconds / SAMPLED_USERS, 3),
            "per_user_pandas_events_per_s": round(peer_rate),
            "ratio_to_per_user_pandas": round(our_rate / peer_rate),
        },
    )


if __name__ == "__main__":
    main()
