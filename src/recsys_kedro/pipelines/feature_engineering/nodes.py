"""Nodes of the feature engineering: they choose the times, the features do the work.

Every table may be a Polars or a PySpark frame; the result is a frame of the same engine.
"""

from datetime import datetime

import narwhals as nw
import polars as pl
from narwhals.typing import IntoFrame
from pydantic import AwareDatetime

from recsys_kedro import columns as c
from recsys_kedro.features.options import FeatureOptions
from recsys_kedro.features.portable import Table
from recsys_kedro.features.product import product_features
from recsys_kedro.features.snapshots import product_snapshots, snapshot_times
from recsys_kedro.features.user import user_features
from recsys_kedro.splits import SplitOptions, TimeSplit, make_time_split


def split_time(
    events: pl.DataFrame, as_of: AwareDatetime | None, options: SplitOptions
) -> TimeSplit:
    """Lay the one global time split."""
    return make_time_split(events, as_of, options)


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
    return _native(product_features(_lazy(events), _lazy(products), split.as_of, options))


def build_product_snapshots(
    events: IntoFrame, products: IntoFrame, split: TimeSplit, options: FeatureOptions
) -> IntoFrame:
    """Product features on a grid anchored at ``split.test_start``, and as of every cut.

    The grid begins at its first time after the first event.
    """
    lazy_events = _lazy(events)
    grid = snapshot_times(
        _first_time(lazy_events), split.as_of, split.test_start, options.snapshot_every_days
    )
    times = sorted({*grid, split.validation_start, split.test_start, split.as_of})
    return _native(product_snapshots(lazy_events, _lazy(products), times, options))


def _lazy(table: IntoFrame) -> Table:
    return nw.from_native(table).lazy()


def _native(table: Table) -> IntoFrame:
    """The engine's own frame; Polars is run here, so that its schema's checks see the rows."""
    native: IntoFrame = table.to_native()
    return native.collect() if isinstance(native, pl.LazyFrame) else native


def _first_time(events: Table) -> datetime:
    first: datetime = events.select(nw.col(c.TIMESTAMP).min()).collect().item()
    return first
