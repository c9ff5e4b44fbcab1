"""Which users and products a figure is about."""

from datetime import datetime
from typing import Final

import polars as pl

from recsys_kedro import columns as c

HISTORY_LENGTH: Final = "history_length"
HISTORY_GROUPS: Final = ("0", "1", "2-5", "6+")


def history_lengths(truth: pl.DataFrame, events: pl.DataFrame, cut: datetime) -> pl.DataFrame:
    """``user_id, history_length`` of every user of the truth, sorted by user.

    The length is the number of events of any type strictly before ``cut``.
    """
    past = (
        events.lazy()
        .filter(pl.col(c.TIMESTAMP) < cut)
        .group_by(c.USER_ID)
        .agg(pl.len().cast(pl.Int64).alias(HISTORY_LENGTH))
    )
    return (
        truth.lazy()
        .select(pl.col(c.USER_ID).unique())
        .join(past, on=c.USER_ID, how="left")
        .with_columns(pl.col(HISTORY_LENGTH).fill_null(0))
        .sort(c.USER_ID)
        .collect()
    )


def headline_truth(truth: pl.DataFrame, events: pl.DataFrame, cut: datetime) -> pl.DataFrame:
    """The truth of the users with any event before ``cut``: those whom the headline is about."""
    known = events.lazy().filter(pl.col(c.TIMESTAMP) < cut).select(pl.col(c.USER_ID).unique())
    return truth.lazy().join(known, on=c.USER_ID, how="semi", maintain_order="left").collect()


def history_group(length: pl.Expr) -> pl.Expr:
    """The group of a history length, one of :data:`HISTORY_GROUPS`."""
    none, one, few, many = HISTORY_GROUPS
    return (
        pl.when(length == 0)
        .then(pl.lit(none))
        .when(length == 1)
        .then(pl.lit(one))
        .when(length <= 5)
        .then(pl.lit(few))
        .otherwise(pl.lit(many))
    )
