"""The part of the shop's log that an experiment is judged by."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import polars as pl

from recsys_kedro import columns as c
from recsys_kedro.experiments import columns as e
from recsys_kedro.experiments.attribution import AttributionOptions, attribute
from recsys_kedro.experiments.exposures import Scope

_SHOWN: Final = (
    c.USER_ID,
    c.TIMESTAMP,
    c.SESSION_ID,
    c.DEVICE_TYPE,
    c.POSITION,
    c.PRODUCT_ID,
    c.VARIANTS,
    c.FALLBACK,
    c.LATENCY_MS,
    c.HISTORY_LENGTH,
)
_DONE: Final = (
    c.EVENT_TYPE,
    c.USER_ID,
    c.PRODUCT_ID,
    c.TIMESTAMP,
    c.SESSION_ID,
    c.PRICE,
    c.QUANTITY,
    c.RECOMMENDATION_ID,
)
_LIST_PRICE: Final = "list_price"


@dataclass(frozen=True)
class Log:
    """What was shown and done, and what there is: tables as in :mod:`recsys_kedro.schemas`."""

    impressions: pl.LazyFrame
    events: pl.LazyFrame
    products: pl.LazyFrame


def part_of(log: Log, units: pl.LazyFrame, scope: Scope, pre_days: int) -> Log:
    """What the units saw and did from ``pre_days`` before the start to the end of the scope.

    Events get the price of the products table where they have none. What is not needed for the
    analysis is left out.
    """
    since = scope.start - timedelta(days=pre_days)
    in_time = pl.col(c.TIMESTAMP).is_between(since, scope.end, closed="left")
    impressions, events = (
        table.filter(in_time).join(units.select(c.USER_ID), on=c.USER_ID, how="semi")
        for table in (log.impressions, log.events)
    )
    prices = log.products.select(c.PRODUCT_ID, pl.col(c.PRICE).alias(_LIST_PRICE))
    priced = (
        events.select(_DONE)
        .join(prices, on=c.PRODUCT_ID, how="left")
        .with_columns(pl.coalesce(c.PRICE, _LIST_PRICE))
        .drop(_LIST_PRICE)
    )
    return Log(impressions.select(c.RECOMMENDATION_ID, *_SHOWN), priced, log.products)


def attributed(log: Log, options: AttributionOptions) -> pl.DataFrame:
    """The impressions with what followed, in memory: several figures are made of them."""
    shown = attribute(log.impressions, log.events, options)
    return shown.select(*_SHOWN, e.CLICKED, e.REVENUE).collect(engine="streaming")


def purchases(log: Log, scope: Scope) -> tuple[int, int]:
    """Purchases since the start of the scope, and how many of them have no price."""
    bought = log.events.filter(
        pl.col(c.EVENT_TYPE) == c.PURCHASE, pl.col(c.TIMESTAMP) >= scope.start
    )
    counts = bought.select(pl.len().alias("all"), pl.col(c.PRICE).is_null().sum().alias("none"))
    every, unpriced = counts.collect(engine="streaming").row(0)
    return int(every), int(unpriced)


def experiments_in(impressions: pl.LazyFrame) -> set[str]:
    """The names of all experiments that the log has users of."""
    names = impressions.select(pl.col(c.VARIANTS).explode().struct.field(c.EXPERIMENT).unique())
    return set(names.drop_nulls().collect(engine="streaming").to_series())
