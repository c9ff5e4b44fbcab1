"""Who is asked what when: the global time split, its queries and its truth."""

from datetime import UTC, datetime, timedelta
from typing import Any

import narwhals as nw
import polars as pl
from narwhals.typing import IntoFrame
from pydantic import AwareDatetime, Field

from recsys_kedro import columns as c
from recsys_kedro.options import Options


class SplitOptions(Options):
    """Where the one global time split lies."""

    test_start: AwareDatetime | None = Field(
        None, description="cut of the test window; empty: one horizon before as_of, at midnight"
    )
    horizon_days: int = Field(28, ge=1, description="length of each target window, days")
    target_event_types: tuple[str, ...] | None = Field(
        None, description="what counts as taken; empty: purchase if there are any, else all"
    )


class TimeSplit(Options):
    """train < validation_start <= validation < test_start <= test < end <= as_of. All UTC."""

    validation_start: AwareDatetime
    test_start: AwareDatetime
    end: AwareDatetime = Field(description="the test window ends before it")
    as_of: AwareDatetime = Field(description="what is served is fitted as of this time")
    horizon_days: int = Field(ge=1, description="length of a target window, days")
    target_event_types: tuple[str, ...] = Field(description="what counts as taken")

    @property
    def horizon(self) -> timedelta:
        """The length of a target window."""
        return timedelta(days=self.horizon_days)


def make_time_split(events: IntoFrame, as_of: datetime | None, options: SplitOptions) -> TimeSplit:
    """Lay the split; the validation window is one horizon before the test window.

    Args:
        events: the event table, of any engine.
        as_of: UTC; empty means a microsecond after the last event.
        options: where the windows lie.

    Raises:
        ValueError: if a window holds no target event or nothing lies before it.
    """
    table = nw.from_native(events).lazy()
    horizon = timedelta(days=options.horizon_days)
    as_of = as_of or _last_time(table) + timedelta(microseconds=1)
    midnight = as_of.replace(hour=0, minute=0, second=0, microsecond=0)
    test_start = options.test_start or midnight - horizon
    split = TimeSplit(
        validation_start=test_start - horizon,
        test_start=test_start,
        end=min(test_start + horizon, as_of),
        as_of=as_of,
        horizon_days=options.horizon_days,
        target_event_types=options.target_event_types or _target_event_types(table),
    )
    _check_windows(table, split)
    return split


def _last_time(events: nw.LazyFrame[Any]) -> datetime:
    last = _collected(events.select(nw.col(c.TIMESTAMP).max()))[c.TIMESTAMP][0]
    if not isinstance(last, datetime):
        msg = "events: the table is empty, so there is nothing to split; see rejected_events"
        raise ValueError(msg)
    return last.replace(tzinfo=UTC) if last.tzinfo is None else last.astimezone(UTC)


def _target_event_types(events: nw.LazyFrame[Any]) -> tuple[str, ...]:
    found = _collected(events.select(c.EVENT_TYPE).unique())[c.EVENT_TYPE].to_list()
    takes = (c.PURCHASE,) if c.PURCHASE in found else c.EVENT_TYPES
    return tuple(kind for kind in takes if kind != c.RETURN)


def _check_windows(events: nw.LazyFrame[Any], split: TimeSplit) -> None:
    time = nw.col(c.TIMESTAMP)
    first, second, end = (
        nw.lit(moment.astimezone(UTC))
        for moment in (split.validation_start, split.test_start, split.end)
    )
    windows = {
        "train": time < first,
        "validation": (time >= first) & (time < second),
        "test": (time >= second) & (time < end),
    }
    counts = _collected(
        events.filter(nw.col(c.EVENT_TYPE).is_in(list(split.target_event_types))).select(
            within.cast(nw.Int64).sum().alias(name) for name, within in windows.items()
        )
    ).row(0, named=True)
    empty = [name for name, count in counts.items() if not count]
    if empty:
        msg = (
            f"events: no {' or '.join(split.target_event_types)} in the {' and '.join(empty)} "
            f"window (validation from {split.validation_start:%Y-%m-%d}, test from "
            f"{split.test_start:%Y-%m-%d} to {split.end:%Y-%m-%d}). Set split.test_start or a "
            f"smaller split.horizon_days."
        )
        raise ValueError(msg)


def _collected(table: nw.LazyFrame[Any]) -> pl.DataFrame:
    """A few rows, whatever the engine."""
    rows: pl.DataFrame = table.collect("polars").to_native()
    return rows


def targets_between(
    events: pl.DataFrame, start: datetime, end: datetime, split: TimeSplit
) -> pl.DataFrame:
    """``user_id, product_id`` of the target events in ``[start, end)``, each pair once, sorted."""
    return (
        events.lazy()
        .filter(
            pl.col(c.TIMESTAMP).is_between(start, end, "left"),
            pl.col(c.EVENT_TYPE).is_in(list(split.target_event_types)),
        )
        .select(c.USER_ID, c.PRODUCT_ID)
        .unique()
        .sort(c.USER_ID, c.PRODUCT_ID)
        .collect()
    )


def window_truth(
    events: pl.DataFrame, start: datetime, end: datetime, split: TimeSplit
) -> pl.DataFrame:
    """``task, user_id, product_id``: what each user took in ``[start, end)``.

    Task ``all`` holds every product taken; ``new`` leaves out those that the user had a
    target event with before ``start``. Products unseen before ``start`` stay in.
    """
    taken = targets_between(events, start, end, split)
    before = targets_between(events, datetime.min.replace(tzinfo=UTC), start, split)
    new = taken.join(before, on=[c.USER_ID, c.PRODUCT_ID], how="anti")
    parts = [
        frame.select(pl.lit(task).alias(c.TASK), c.USER_ID, c.PRODUCT_ID)
        for task, frame in ((c.TASK_ALL, taken), (c.TASK_NEW, new))
    ]
    return pl.concat(parts)


def window_requests(truth: pl.DataFrame, start: datetime) -> pl.DataFrame:
    """``user_id, as_of``: everybody in the truth is asked once, as of ``start``."""
    return (
        truth.select(c.USER_ID)
        .unique()
        .sort(c.USER_ID)
        .with_columns(pl.lit(start).cast(pl.Datetime("us", "UTC")).alias(c.AS_OF))
    )


def leave_last_out(events: pl.DataFrame, held_out: int = 1) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Split each user's ordered sequence before its last ``held_out`` events.

    For ordered sequences, not for baskets: the order is time, then position in the source
    (an unstable sort by time alone changes targets where times tie).

    Returns:
        (past, last): ``past`` without the held-out events; ``last`` the held-out event
        furthest back, i.e. with ``held_out=2`` the validation target, with 1 the test target.
        Users with fewer than ``held_out + 1`` events stay in ``past`` whole.
    """
    if held_out < 1:
        msg = f"leave_last_out: held_out must be at least 1, not {held_out}"
        raise ValueError(msg)
    order = [c.USER_ID, c.TIMESTAMP, c.SOURCE_ROW]
    numbered = events.sort(order).with_columns(
        from_end=pl.int_range(pl.len(), dtype=pl.Int64).reverse().over(c.USER_ID),
        length=pl.len().over(c.USER_ID),
    )
    kept = (pl.col("from_end") >= held_out) | (pl.col("length") <= held_out)
    past = numbered.filter(kept).drop("from_end", "length")
    last = numbered.filter(~kept, pl.col("from_end") == held_out - 1).drop("from_end", "length")
    return past, last
