"""How fast user features of a simulated shop are, against one pandas pass for each user.

Run: ``python benchmarks/features.py``. The peer gets its events already split by user, and
that split is not counted; it runs on a sample of users and is compared by events per second.

``--engine spark`` times the same functions on a local Spark instead, from Parquet to Parquet, and
fails unless its tables are those of Polars.
"""

import argparse
import statistics
import tempfile
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
import polars as pl
import report
from per_user_features import create_user_features
from polars.testing import assert_frame_equal

from recsys_kedro import columns as c
from recsys_kedro.features.options import FeatureOptions
from recsys_kedro.features.portable import Table
from recsys_kedro.features.product import product_features
from recsys_kedro.features.snapshots import product_snapshots
from recsys_kedro.features.user import user_features
from recsys_kedro.simulation.options import SimulationOptions
from recsys_kedro.simulation.shop import Shop, simulate_shop

EVENTS = 1_000_000
EVENTS_PER_USER = 20
SAMPLED_USERS = 300
REPEATS = 5
SEED = 0
LAST_PLACE = 1.1e-6  # a mean that lies between two numbers of 6 decimals is rounded either way


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


def tables_of(events: Table, products: Table, users: Table, as_of: datetime) -> dict[str, Table]:
    """Every feature table; the snapshots as of the last three weeks."""
    options = FeatureOptions()
    weeks = [as_of - timedelta(weeks=week) for week in (2, 1, 0)]
    return {
        "user_features": user_features(events, products, users, as_of, options),
        "product_features": product_features(events, products, as_of, options),
        "product_snapshots": product_snapshots(events, products, weeks, options),
    }


def compare_with_spark(shop: Shop, as_of: datetime) -> dict[str, float]:
    """Seconds of each table on both engines, from Parquet to Parquet.

    Raises:
        AssertionError: a table differs.
    """
    from pyspark.sql import SparkSession

    session = SparkSession.builder.config("spark.sql.session.timeZone", "UTC").getOrCreate()
    figures = {}
    with tempfile.TemporaryDirectory() as name:
        paths = [f"{name}/{table}.parquet" for table in ("events", "products", "users")]
        for path, frame in zip(paths, (shop.events, shop.products, shop.users), strict=True):
            frame.write_parquet(path)
        polars = tables_of(*(nw.from_native(pl.scan_parquet(path)) for path in paths), as_of)
        spark = tables_of(*(nw.from_native(session.read.parquet(path)) for path in paths), as_of)
        for table, ours in polars.items():
            mine, theirs = Path(name) / f"{table}_polars", Path(name) / f"{table}_spark"
            mine.mkdir()
            (figures[f"{table}_polars_s"],) = report.seconds(
                lambda ours=ours, mine=mine: ours.to_native().sink_parquet(mine / "0.parquet"), 1
            )
            (figures[f"{table}_spark_s"],) = report.seconds(
                lambda table=table, theirs=theirs: (
                    spark[table].to_native().write.parquet(str(theirs))
                ),
                1,
            )
            expected = pl.read_parquet(mine / "*.parquet")
            got = pl.read_parquet(theirs / "*.parquet").cast(expected.schema)
            assert_frame_equal(expected, got, check_row_order=False, abs_tol=LAST_PLACE)
    session.stop()
    return {key: round(value, 2) for key, value in figures.items()}


def main() -> None:
    """Measure and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", choices=("polars", "spark"), default="polars")
    engine = parser.parse_args().engine
    shop = make_shop()
    as_of = shop.events[c.TIMESTAMP].max() + timedelta(microseconds=1)
    if engine == "spark":
        sizes = {"events": shop.events.height, "users": shop.users.height}
        report.write_report("features_spark", {**sizes, **compare_with_spark(shop, as_of)})
        return
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
