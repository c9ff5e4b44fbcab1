"""Product features on a grid of times, for rows that lie at different times."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import narwhals as nw

from recsys_kedro import columns as c
from recsys_kedro.features import columns as f
from recsys_kedro.features.options import FeatureOptions
from recsys_kedro.features.portable import Table, utc
from recsys_kedro.features.product import product_features_of
from recsys_kedro.features.product_history import ProductHistory


def snapshot_times(
    first: datetime, last: datetime, anchor: datetime, every_days: int
) -> list[datetime]:
    """The times ``anchor + i * every_days`` (i any integer) in ``[first, last]``, ascending, UTC.

    Raises:
        ValueError: if ``every_days`` is below 1 or a time has no time zone.
    """
    if every_days < 1:
        msg = f"snapshot_times: every_days must be at least 1, not {every_days}."
        raise ValueError(msg)
    step = timedelta(days=every_days)
    start = utc(anchor) - (utc(anchor) - utc(first)) // step * step
    count = (utc(last) - start) // step + 1
    return [start + number * step for number in range(max(count, 0))]


def product_snapshots(
    events: Table,
    products: Table,
    times: Sequence[datetime],
    options: FeatureOptions,
) -> Table:
    """One row per time and product known then, sorted by ``snapshot_time, product_id``.

    The features are those of ``product_features`` as of the snapshot's time, without the name.
    A row at time t may use the latest snapshot at or before t.

    Raises:
        ValueError: if ``times`` is empty or a time has no time zone.
    """
    history = ProductHistory.of(events, times)
    parts = [product_snapshot(history, products, time, options) for time in times]
    return nw.concat(parts).sort(f.SNAPSHOT_TIME, c.PRODUCT_ID)


def product_snapshot(
    history: ProductHistory, products: Table, time: datetime, options: FeatureOptions
) -> Table:
    """The snapshot of one of the times of ``history``, sorted by ``product_id``.

    Raises:
        ValueError: if ``time`` has no time zone or is not one of them.
    """
    table = product_features_of(history, products, time, options).drop(c.NAME)
    taken = nw.lit(utc(time), nw.Datetime("us", "UTC")).alias(f.SNAPSHOT_TIME)
    return table.select(taken, nw.all())
