"""Visits, where the source does not name them."""

from datetime import timedelta

import polars as pl

from recsys_kedro import columns as c

_UNNAMED = "unnamed"


def with_sessions(events: pl.DataFrame, gap_minutes: float) -> pl.DataFrame:
    """Give events without ``session_id`` one: a pause of more than the gap starts a session.

    The ids are ``<user_id>-<n>``, n from 1 in the order of time. Sessions that the source
    names stay as they are and end no other.

    Args:
        events: sorted by user_id, timestamp, source_row.
        gap_minutes: the longest pause within a session, minutes.
    """
    if events[c.SESSION_ID].null_count() == 0:
        return events
    visitor = (c.USER_ID, _UNNAMED)
    pause = pl.col(c.TIMESTAMP).diff().over(visitor)
    starts = (pause > timedelta(minutes=gap_minutes)).fill_null(True)
    number = starts.cast(pl.Int64).cum_sum().over(visitor)
    return (
        events.lazy()
        .with_columns(pl.col(c.SESSION_ID).is_null().alias(_UNNAMED))
        .with_columns(
            pl.coalesce(c.SESSION_ID, pl.format("{}-{}", c.USER_ID, number)).alias(c.SESSION_ID)
        )
        .drop(_UNNAMED)
        .collect()
    )
