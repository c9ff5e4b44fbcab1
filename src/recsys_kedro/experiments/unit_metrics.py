"""The metrics of an experiment, and their sufficient statistics from the units' totals.

A metric is the sum of a numerator over units divided by the sum of a denominator; where the
denominator is the units themselves it is a mean. A new metric is one line in :data:`METRICS`
(and a total in :mod:`.unit_totals`, if there is none for it yet).
"""

from collections.abc import Collection, Sequence
from typing import Final, Literal, NamedTuple, TypeAlias

import numpy as np
import polars as pl

from recsys_kedro import columns as c
from recsys_kedro.experiments import columns as e
from recsys_kedro.experiments.moments import PAIRS, PARTS, Moments, moments_of_sums

SUMS: Final = tuple(f"sum_{part}" for part in PARTS)
PRODUCTS: Final = tuple(f"sum_{PARTS[i]}_by_{PARTS[j]}" for i, j in PAIRS)
STATISTICS: Final = (e.UNITS, *SUMS, *PRODUCTS)
ONE: Final = "_one"
NONE: Final = "_none"
Measure: TypeAlias = Literal["share", "money", "minutes", "pages", "ms"]


class Metric(NamedTuple):
    """``numerator`` and ``denominator`` are totals; no denominator: per unit."""

    name: str
    numerator: str
    denominator: str | None
    label: str
    measure: Measure
    more_is_better: bool = True


METRICS: Final = (
    Metric("ctr", e.CLICKS, e.IMPRESSIONS, "clicks per impression", "share"),
    Metric("conversion", e.BUYERS, None, "share of users who buy", "share"),
    Metric("average_order_value", e.REVENUE, e.ORDERS, "revenue per order", "money"),
    Metric("revenue_per_user", e.REVENUE, None, "revenue per user", "money"),
    Metric(
        "recommended_revenue", e.RECOMMENDED_REVENUE, None, "credited revenue per user", "money"
    ),
    Metric("session_time", e.SESSION_MINUTES, e.SESSIONS, "minutes per session", "minutes"),
    Metric("pages_per_session", e.PAGES, e.SESSIONS, "product pages per session", "pages"),
    Metric(
        "cart_abandonment",
        e.ABANDONED_SESSIONS,
        e.CART_SESSIONS,
        "carts left behind",
        "share",
        False,
    ),
    Metric("latency", e.LATENCY, e.ANSWERS, "mean latency in ms", "ms", False),
    Metric("slow_share", e.SLOW_ANSWERS, e.ANSWERS, "share of slow answers", "share", False),
    Metric(
        "fallback_share", e.FALLBACK_ANSWERS, e.ANSWERS, "answers by a fallback", "share", False
    ),
    Metric("failure_share", e.FAILED_ANSWERS, e.ANSWERS, "answers after an error", "share", False),
    Metric("return_share", e.RETURNS, e.PURCHASES, "returns per purchase", "share", False),
)
CTR: Final = METRICS[0]
COVERAGE: Final = Metric("coverage", e.SHOWN_SHARE, None, "share of the products shown", "share")


def metric_named(name: str) -> Metric:
    """The metric of that name.

    Raises:
        ValueError: with the names that there are.
    """
    found = {metric.name: metric for metric in (*METRICS, COVERAGE)}
    if name not in found:
        msg = f"there is no metric '{name}', only {', '.join(found)}"
        raise ValueError(msg)
    return found[name]


def sufficient_statistics(
    totals: pl.LazyFrame, metrics: Sequence[Metric] = METRICS, by: Sequence[str] = ()
) -> pl.DataFrame:
    """Units, sums and sums of products per variant and metric.

    One row per metric, variant and group of the columns ``by``: ``metric, variant, *by, units``
    and the sums of :mod:`.moments`. Two such frames over different units add up row by row.
    """
    groups = [c.VARIANT, *by]
    totals = with_constants(totals)
    known = totals.collect_schema().names()
    wanted = [
        added.sum().alias(f"{metric.name}.{name}")
        for metric in metrics
        for name, added in zip(STATISTICS, statistics_of(metric, known), strict=True)
    ]
    wide = totals.group_by(groups).agg(*wanted).collect(engine="streaming")
    return as_rows(wide, metrics, groups)


def moments_of(statistics: pl.DataFrame) -> Moments:
    """The moments of each row of :func:`sufficient_statistics`; the leading axis is the rows."""
    units, sums, products = (
        statistics.select(names).to_numpy().astype(np.float64)
        for names in ([e.UNITS], SUMS, PRODUCTS)
    )
    return moments_of_sums(units[:, 0], sums, products)


def parts_of(metric: Metric, known: Collection[str]) -> list[str]:
    """The columns of the four parts of a metric; without a past the last two are 0."""
    now = [metric.numerator, metric.denominator or ONE]
    if e.PRE + metric.numerator not in known:
        return [*now, NONE, NONE]
    return [
        *now,
        e.PRE + metric.numerator,
        e.PRE + metric.denominator if metric.denominator else ONE,
    ]


def statistics_of(metric: Metric, known: Collection[str]) -> list[pl.Expr]:
    """What a unit adds to each statistic, in the order of :data:`STATISTICS`."""
    parts = [pl.col(name) for name in parts_of(metric, known)]
    return [pl.col(ONE), *parts, *(parts[i] * parts[j] for i, j in PAIRS)]


def with_constants(totals: pl.LazyFrame) -> pl.LazyFrame:
    """The totals with a column of ones and one of zeros, which are parts of some metrics."""
    return totals.with_columns(pl.lit(1.0).alias(ONE), pl.lit(0.0).alias(NONE))


def as_rows(wide: pl.DataFrame, metrics: Sequence[Metric], groups: Sequence[str]) -> pl.DataFrame:
    """From columns ``metric.statistic`` to one row per metric and group."""
    long = [
        wide.select(
            pl.lit(metric.name).alias(e.METRIC),
            *groups,
            *(pl.col(f"{metric.name}.{name}").alias(name) for name in STATISTICS),
        )
        for metric in metrics
    ]
    return pl.concat(long).sort(e.METRIC, *groups)
