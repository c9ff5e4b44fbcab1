"""Rows that tell of an event that another row has told of."""

import polars as pl

from recsys_kedro import columns as c
from recsys_kedro.streams.options import KAFKA_OFFSET, KAFKA_PARTITION

EXACT = "exact"
SAME_EVENT_ID = "event_id"


def duplicate_of(raw: pl.DataFrame, event_ids: pl.Series) -> pl.Series:
    """(N,) how a row repeats an earlier one: ``exact``, ``event_id``, or empty.

    Args:
        raw: rows of the source, in its order; equal in every column, but for where a broker
            had them, is exact.
        event_ids: (N,) the source's own ids, where it has them.
    """
    content = raw.drop(c.SOURCE_ROW, KAFKA_PARTITION, KAFKA_OFFSET, strict=False)
    exact = _repeats(content)
    same_id = event_ids.is_not_null() & ~event_ids.is_first_distinct()
    return pl.select(
        pl.when(exact).then(pl.lit(EXACT)).when(same_id).then(pl.lit(SAME_EVENT_ID))
    ).to_series()


def _repeats(rows: pl.DataFrame) -> pl.Series:
    """(N,) whether an equal row comes before; only rows of equal hash are compared whole."""
    alike = rows.hash_rows().is_duplicated()
    first = rows.filter(alike).select(pl.struct(pl.all()).is_first_distinct()).to_series()
    return alike.scatter(alike.arg_true(), ~first) if alike.any() else alike
