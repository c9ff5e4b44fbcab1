"""Nodes of the feature engineering: they choose the times, the features do the work.

Every table may be a Polars frame, a scan of a file that is larger than the memory, or a PySpark
frame; the result is a frame of the same engine.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise

import narwhals as nw
import polars as pl
from narwhals.typing import IntoFrame
from pydantic import AwareDatetime, TypeAdapter

from recsys_kedro import columns as c
from recsys_kedro.features import columns as f
from recsys_kedro.features.options import FeatureOptions
from recsys_kedro.features.portable import Table, before, utc
from recsys_kedro.features.product import product_features_of
from recsys_kedro.features.product_history import ProductHistory
from recsys_kedro.features.snapshots import product_snapshot, snapshot_times
from recsys_kedro.features.user import user_features
from recsys_kedro.splits import SplitOptions, TimeSplit, make_time_split

# Polars takes about 1.5 GiB to sum up so many.
EVENTS_AT_ONCE = 20_000_000

AS_OF: TypeAdapter[datetime | None] = TypeAdapter(AwareDatetime | None)


def split_time(events: IntoFrame, as_of: str | None, options: SplitOptions) -> TimeSplit:
    """Lay the one global time split.

    Args:
        events: the event table.
        as_of: ISO 8601 with its zone; empty: see the split.
        options: where the windows lie.

    Raises:
        ValueError: ``as_of`` is not such a time, or a window is empty.
    """
    return make_time_split(events, AS_OF.validate_python(as_of), options)


def build_user_features(
    events: IntoFrame,
    products: IntoFrame,
    users: IntoFrame,
    split: TimeSplit,
    options: FeatureOptions,
) -> IntoFrame:
    """User features as of ``split.as_of``: those that are served."""
    table = user_features(_lazy(events), _lazy(products), _lazy(users), split.as_of, options)
    return _native(table)


def build_product_features(
    events: IntoFrame, products: IntoFrame, split: TimeSplit, options: FeatureOptions
) -> IntoFrame:
    """Product features as of ``split.as_of``: those that are served."""
    history = _history(_lazy(events), [split.as_of])
    return _native(product_features_of(history, _lazy(products), split.as_of, options))


def build_product_snapshots(
    events: IntoFrame, products: IntoFrame, split: TimeSplit, options: FeatureOptions
) -> IntoFrame:
    """Product features on a grid anchored at ``split.test_start``, and as of every cut.

    The grid begins at its first time after the first event, or has the latest
    ``options.snapshots`` times. Polars makes one snapshot after the other: at once, the memory
    would hold the working tables of all of them.
    """
    lazy_events = _lazy(events)
    grid = snapshot_times(
        _first_time(lazy_events), split.as_of, split.test_start, options.snapshot_every_days
    )
    grid = grid[-options.snapshots :] if options.snapshots else grid
    times = sorted({*grid, split.validation_start, split.test_start, split.as_of})
    history = _history(lazy_events, times)
    parts = [_native(product_snapshot(history, _lazy(products), time, options)) for time in times]
    table = nw.concat([_lazy(part) for part in parts])
    return _native(table.sort(f.SNAPSHOT_TIME, c.PRODUCT_ID))


def _lazy(table: IntoFrame) -> Table:
    return nw.from_native(table).lazy()


def _native(table: Table) -> IntoFrame:
    """The engine's own frame; Polars is run here, so that its schema's checks see the rows.

    It streams: the events pass by in pieces, whether they are in memory or in a file.
    """
    native: IntoFrame = table.to_native()
    return native.collect(engine="streaming") if isinstance(native, pl.LazyFrame) else native


def _history(events: Table, times: Sequence[datetime]) -> ProductHistory:
    """Polars makes it here, of one span of the past after the other.

    Its grouping may hold a row for every event until the end, so that memory would grow with
    them; the history itself is far smaller.
    """
    if not events.implementation.is_polars():
        return ProductHistory.of(events, times)
    spans = [ProductHistory.of(span, times) for span in _spans(events, utc(max(times)))]
    tables = [_lazy(_native(span.table)) for span in spans]
    return replace(spans[0], table=nw.concat(tables))


def _spans(events: Table, end: datetime) -> Iterator[Table]:
    """The events before ``end``, whole days that begin within the same EVENTS_AT_ONCE events."""
    time, count = nw.col(c.TIMESTAMP), "count"
    past = events.filter(before(end))
    days = past.group_by(time.dt.truncate("1d")).agg(nw.len().cast(nw.Int64).alias(count))
    counted: pl.DataFrame = days.sort(c.TIMESTAMP).to_native().collect(engine="streaming")
    span = (pl.col(count).cum_sum() - pl.col(count)) // EVENTS_AT_ONCE
    starts = counted.group_by(span).agg(pl.col(c.TIMESTAMP).min())[c.TIMESTAMP].sort().to_list()
    for since, until in pairwise([datetime.min.replace(tzinfo=UTC), *starts[1:], end]):
        yield past.filter(time >= nw.lit(since), time < nw.lit(until))


def _first_time(events: Table) -> datetime:
    first: datetime = events.select(nw.col(c.TIMESTAMP).min()).collect().item()
    return first
