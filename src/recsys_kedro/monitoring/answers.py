"""Answers out of the impression log: one row each, with what followed."""

from collections.abc import Iterator
from typing import Final

import polars as pl

from recsys_kedro import columns as c
from recsys_kedro.experiments import columns as e
from recsys_kedro.experiments.attribution import AttributionOptions, attribute
from recsys_kedro.monitoring import columns as m
from recsys_kedro.monitoring.windows import Window

UNKNOWN: Final = "unknown"
MOST_PARTS: Final = 8  # values of one column that have a slice of their own, the most frequent


def followed(
    impressions: pl.DataFrame,
    events: pl.DataFrame,
    products: pl.DataFrame,
    window: Window,
    options: AttributionOptions,
) -> pl.DataFrame:
    """The window's impressions with what followed until its end, see :mod:`.attribution`.

    What follows later is left out for every window alike: otherwise the latest would look
    worst only because it is the latest. An event without a price has the list price.
    """
    prices = products.lazy().select(c.PRODUCT_ID, pl.col(c.PRICE).alias("list_price"))
    priced = (
        window.of(events)
        .lazy()
        .join(prices, on=c.PRODUCT_ID, how="left")
        .with_columns(pl.coalesce(c.PRICE, "list_price").alias(c.PRICE))
    )
    return attribute(window.of(impressions).lazy(), priced, options).collect()


def answers_of(shown: pl.DataFrame) -> pl.DataFrame:
    """One row per answer.

    ``recommendation_id``, the columns of the log that belong to the answer, ``impressions``,
    ``clicks``, ``purchased``, ``revenue`` and ``score_spread``, the highest less the lowest
    score; empty for a fallback and where a score is no number.

    Args:
        shown: impressions from :func:`followed`.
    """
    score = pl.col(c.SCORE)
    by_model = pl.col(c.FALLBACK).is_null().first() & score.is_finite().fill_null(False).all()
    of_answer = (
        c.USER_ID, c.TIMESTAMP, c.DEVICE_TYPE, c.HISTORY_LENGTH, c.MODEL, c.MODEL_VERSION,
        c.FALLBACK, c.FROM_CACHE, c.LATENCY_MS,
    )  # fmt: skip
    return (
        shown.sort(c.TIMESTAMP, c.RECOMMENDATION_ID, c.POSITION)
        .group_by(c.RECOMMENDATION_ID, maintain_order=True)
        .agg(
            pl.col(of_answer).first(),
            pl.len().alias(e.IMPRESSIONS),
            pl.col(e.CLICKED).sum().alias(e.CLICKS),
            pl.col(e.PURCHASED).any(),
            pl.col(e.REVENUE).sum(),
            pl.when(by_model).then(score.max() - score.min()).alias(m.SCORE_SPREAD),
        )
    )


def parts_of(answers: pl.DataFrame) -> Iterator[tuple[str, pl.DataFrame]]:
    """All answers, then those of new users, of each device and of each model version."""
    yield m.ALL, answers
    is_new = pl.col(c.HISTORY_LENGTH) == 0
    for name, condition in (("0", is_new), ("1+", ~is_new)):
        yield f"{c.HISTORY_LENGTH}={name}", answers.filter(condition)
    version = pl.format("{}/{}", c.MODEL, c.MODEL_VERSION)
    for column, value in (
        (c.DEVICE_TYPE, pl.col(c.DEVICE_TYPE).fill_null(UNKNOWN)),
        (c.MODEL_VERSION, version),
    ):
        for name in most_frequent(answers.select(value.alias(column)).to_series()):
            yield f"{column}={name}", answers.filter(value == name)


def most_frequent(values: pl.Series) -> list[str]:
    """At most :data:`MOST_PARTS` values, the most frequent first; equal ones by name."""
    counts = (
        values.drop_nulls().value_counts().sort(["count", values.name], descending=[True, False])
    )
    return counts.head(MOST_PARTS)[values.name].to_list()
