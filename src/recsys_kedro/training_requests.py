"""Who is asked what when in the training lists, and when the label of each request ends."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np
import polars as pl
from pydantic import Field

from recsys_kedro import columns as c
from recsys_kedro.features import columns as f
from recsys_kedro.options import Options
from recsys_kedro.splits import TimeSplit

LABEL_END = "label_end"
WEEK = timedelta(days=7)


class RequestOptions(Options):
    """How many snapshots there are, and requests in each."""

    snapshots: int = Field(12, ge=1, description="snapshots that one fit learns from, the latest")
    lists: int = Field(0, ge=0, description="of more snapshots where those have fewer lists")
    window_queries: int = Field(2_000, ge=1, description="window queries per snapshot, at most")
    session_queries: int = Field(300, ge=0, description="session queries per snapshot, at most")


def list_times(
    times: Sequence[datetime],
    first_cut: datetime,
    events: pl.DataFrame,
    split: TimeSplit,
    options: RequestOptions,
) -> list[datetime]:
    """The snapshot times that fits as of ``first_cut`` (UTC) and later learn from, ascending.

    Of the given ``times`` the latest whose window ends by the first cut, see
    :func:`latest_times`, and all later ones.
    """
    ordered = sorted(times)
    first_fit = [time for time in ordered if time + split.horizon <= first_cut]
    left_out = len(first_fit) - len(latest_times(first_fit, events, split, options))
    return ordered[left_out:]


def latest_times(
    times: Sequence[datetime], events: pl.DataFrame, split: TimeSplit, options: RequestOptions
) -> Sequence[datetime]:
    """The latest ``snapshots`` of ``times``, more where those have fewer than ``lists``.

    Args:
        times: ascending, of snapshots whose windows are over.
        events: the event table.
        split: the horizon, and what counts as taken.
        options: how many.
    """
    targets = _targets(events, split)
    start, lists = len(times), 0
    while start > 0 and (len(times) - start < options.snapshots or lists < options.lists):
        start -= 1
        lists += _lists_of(times[start], events, targets, split, options)
    return times[start:]


def _lists_of(
    time: datetime,
    events: pl.DataFrame,
    targets: pl.DataFrame,
    split: TimeSplit,
    options: RequestOptions,
) -> int:
    """How many requests :func:`training_requests` has, of a time whose window is over."""
    windows = _window_requests(targets, time, time + split.horizon)
    sessions = _session_requests(events, targets, time, min(time + WEEK, split.as_of))
    return min(windows.height, options.window_queries) + min(
        sessions.height, options.session_queries
    )


def training_requests(
    events: pl.DataFrame,
    time: datetime,
    split: TimeSplit,
    options: RequestOptions,
    rng: np.random.Generator,
) -> pl.DataFrame:
    """Window and session requests of one snapshot, of users without any past too.

    Whoever nothing is known of has to be ranked for as well, and only such requests teach it.

    Args:
        events: the event table, sorted by user, time and source row.
        time: UTC, of the snapshot.
        split: the horizon, what counts as taken, and ``as_of``, past which no label reaches.
        options: how many.
        rng: the source of randomness of the samples.

    Returns:
        ``user_id, as_of, live``, the context of the visits, ``snapshot_time``, ``label_end``.
    """
    targets = _targets(events, split)
    # Streams of their own: a window that is not over yet must not move the sample of visits.
    of_windows, of_sessions = rng.spawn(2)
    parts = []
    if time + split.horizon <= split.as_of:
        window = _window_requests(targets, time, time + split.horizon)
        parts.append(_sample(window, options.window_queries, of_windows))
    sessions = _session_requests(events, targets, time, min(time + WEEK, split.as_of))
    parts.append(_sample(sessions, options.session_queries, of_sessions))
    return pl.concat(parts, how="diagonal_relaxed").with_columns(
        pl.lit(time).alias(f.SNAPSHOT_TIME)
    )


def _targets(events: pl.DataFrame, split: TimeSplit) -> pl.DataFrame:
    return events.filter(pl.col(c.EVENT_TYPE).is_in(list(split.target_event_types)))


def _window_requests(targets: pl.DataFrame, time: datetime, end: datetime) -> pl.DataFrame:
    """Everybody who took something in ``[time, end)``, asked as of ``time``."""
    users = (
        targets.filter(pl.col(c.TIMESTAMP).is_between(time, end, "left"))
        .select(c.USER_ID)
        .unique()
        .sort(c.USER_ID)
    )
    return users.with_columns(
        pl.lit(time).alias(c.AS_OF), pl.lit(end).alias(LABEL_END), pl.lit(False).alias(c.LIVE)
    )


def _session_requests(
    events: pl.DataFrame,
    targets: pl.DataFrame,
    time: datetime,
    end: datetime,
) -> pl.DataFrame:
    """Visits in which something was taken in ``[time, end)``, asked at their first event."""
    within = pl.col(c.TIMESTAMP).is_between(time, end, "left")
    first = pl.col(c.DEVICE_TYPE, c.CATEGORY, c.SEARCH_QUERY).first()
    return (
        events.filter(within)
        .join(targets.filter(within), on=[c.USER_ID, c.SESSION_ID], how="semi")
        .group_by(c.USER_ID, c.SESSION_ID, maintain_order=True)
        .agg(
            pl.col(c.TIMESTAMP).min().alias(c.AS_OF),
            (pl.col(c.TIMESTAMP).max() + timedelta(microseconds=1)).alias(LABEL_END),
            first,
        )
        .drop(c.SESSION_ID)
        .sort(c.USER_ID, c.AS_OF)
        .with_columns(pl.lit(True).alias(c.LIVE))
    )


def _sample(requests: pl.DataFrame, most: int, rng: np.random.Generator) -> pl.DataFrame:
    if requests.height <= most:
        return requests
    return requests[np.sort(rng.choice(requests.height, most, replace=False))]
