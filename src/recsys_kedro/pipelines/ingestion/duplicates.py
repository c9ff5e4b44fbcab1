"""Rows that tell of an event that another row has told of."""

import polars as pl

from recsys_kedro import columns as c

EXACT = "exact"
SAME_EVENT_ID = "event_id"


def duplicate_of(raw: pl.DataFrame, event_ids: pl.Series) -> pl.Series:
    """(N,) how a row repeats an earlier one: ``exact``, ``event_id``, or empty.

    Args:
        raw: rows of the source, in its order; equal in every column is exact.
        event_ids: (N,) the source's own ids, where it has them.
    """
    content = raw.drop(c.SOURCE_ROW, strict=False)
    exact = ~content.select(pl.struct(pl.all()).is_first_distinct()).to_series()
    same_id = event_ids.is_not_null() & ~event_ids.is_first_distinct()
    return pl.select(
        pl.when(exact).then(pl.lit(EXACT)).when(same_id).then(pl.lit(SAME_EVENT_ID))
    ).to_series()
