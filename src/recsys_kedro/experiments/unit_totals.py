"""What each unit of an experiment saw and did, summed: one row per user.

Everything is group-bys and joins that Polars streams, so that a log need not fit into memory:
events are summed per session, sessions and impressions per user.
"""

from datetime import datetime, timedelta
from typing import Final, Literal

import polars as pl
from pydantic import Field

from recsys_kedro import columns as c
from recsys_kedro.experiments import columns as e
from recsys_kedro.experiments.attribution import revenue_of_purchases
from recsys_kedro.experiments.exposures import Scope, day_of, of_experiment
from recsys_kedro.options import Options

_FIRST_POSITION: Final = 1
_SECONDS_PER_MINUTE: Final = 60


class TotalsOptions(Options):
    """What is counted."""

    pre_days: int = Field(28, ge=0, description="before the start, for CUPED; days")
    slow_ms: float = Field(100, gt=0, description="an answer that takes longer is slow")
    failures: tuple[str, ...] = Field(
        ("model_failed",), description="fallbacks that stand for an error of the server"
    )


def unit_totals(
    units: pl.LazyFrame,
    impressions: pl.LazyFrame,
    events: pl.LazyFrame,
    scope: Scope,
    options: TotalsOptions,
) -> pl.LazyFrame:
    """The units with their totals, from first exposure to the end; ``pre_*`` before the start.

    One row per unit. Money in the shop's currency, durations in minutes, latency in ms.

    - A session is what events and impressions have of the same ``session_id`` since the first
      exposure; a session in which nothing but an answer happened counts.
    - ``orders``: sessions with a purchase. ``pages``: product views.
    - ``pre_*`` are the same totals over ``pre_days`` before the start, 0 for who was not there.

    Args:
        units: from :func:`.exposures.exposed_units`; further columns (segments) are kept.
        impressions: attributed, see :mod:`.attribution`; also those from before the start.
        events: also those from before the start.
        scope: which experiment, and from when to when.
        options: what is counted.
    """
    ours = of_experiment(impressions, scope)
    during = _totals(units, ours, events, pl.col(e.FIRST_EXPOSURE), scope.end, options, [c.USER_ID])
    since = pl.lit(scope.start - timedelta(days=options.pre_days))
    before = _totals(units, impressions, events, since, scope.start, options, [c.USER_ID])
    both = pl.concat([during, before.rename(_as_past)], how="diagonal")
    return _joined(units, both.group_by(c.USER_ID).agg(pl.all().sum()))


def daily_totals(
    units: pl.LazyFrame,
    impressions: pl.LazyFrame,
    events: pl.LazyFrame,
    scope: Scope,
    options: TotalsOptions,
) -> pl.LazyFrame:
    """As :func:`unit_totals`, by ``day`` as well: one row per unit and day with anything.

    ``day`` counts from 0 at the start in steps of 24 hours; a session belongs to the day on
    which it begins. There are no ``pre_*``.
    """
    ours = of_experiment(impressions, scope)
    keys = [c.USER_ID, e.DAY]
    since = pl.col(e.FIRST_EXPOSURE)
    totals = _totals(units, ours, events, since, scope.end, options, keys, scope.start)
    return _joined(units, totals, how="inner")


def position_totals(
    units: pl.LazyFrame,
    impressions: pl.LazyFrame,
    scope: Scope,
) -> pl.LazyFrame:
    """Impressions and clicks by unit and ``position``, for the CTR per position."""
    return (
        of_experiment(impressions, scope)
        .group_by(c.USER_ID, c.POSITION)
        .agg(
            pl.len().cast(pl.Float64).alias(e.IMPRESSIONS),
            pl.col(e.CLICKED).sum().cast(pl.Float64).alias(e.CLICKS),
        )
        .join(units, on=c.USER_ID)
    )


def _as_past(name: str) -> str:
    return name if name == c.USER_ID else e.PRE + name


def _joined(
    units: pl.LazyFrame, totals: pl.LazyFrame, how: Literal["left", "inner"] = "left"
) -> pl.LazyFrame:
    counted = totals.collect_schema().names()
    numbers = pl.col([name for name in counted if name not in (c.USER_ID, e.DAY)])
    return units.join(totals, on=c.USER_ID, how=how).with_columns(numbers.fill_null(0))


def _totals(
    units: pl.LazyFrame,
    impressions: pl.LazyFrame,
    events: pl.LazyFrame,
    since: pl.Expr,
    until: datetime,
    options: TotalsOptions,
    keys: list[str],
    start: datetime | None = None,
) -> pl.LazyFrame:
    period = units.select(c.USER_ID, since.alias("_since"))
    in_period = pl.col(c.TIMESTAMP).is_between(pl.col("_since"), until, closed="left")
    shown, done = (t.join(period, on=c.USER_ID).filter(in_period) for t in (impressions, events))
    seen = _with_day(shown, c.TIMESTAMP, start).group_by(keys).agg(*_seen(options))
    sessions = _with_day(_sessions(shown, done), "begin", start).group_by(keys).agg(*_did())
    both = pl.concat([seen, sessions], how="diagonal").group_by(keys).agg(pl.all().sum())
    return with_buyers(both)


def with_buyers(totals: pl.LazyFrame) -> pl.LazyFrame:
    """Adds ``buyers``: 1 for who ordered; the only total that is no sum over days."""
    return totals.with_columns((pl.col(e.ORDERS) > 0).cast(pl.Float64).alias(e.BUYERS))


def _with_day(frame: pl.LazyFrame, time: str, start: datetime | None) -> pl.LazyFrame:
    if start is None:
        return frame
    return frame.with_columns(day_of(time, start).alias(e.DAY))


def _sessions(shown: pl.LazyFrame, done: pl.LazyFrame) -> pl.LazyFrame:
    """One row per user and session."""
    key = [c.USER_ID, c.SESSION_ID]
    asked = shown.filter(
        (pl.col(c.POSITION) == _FIRST_POSITION) & pl.col(c.SESSION_ID).is_not_null()
    ).select(*key, c.TIMESTAMP)
    acted = done.select(*key, c.TIMESTAMP, c.EVENT_TYPE, revenue_of_purchases().alias(e.REVENUE))
    kind = pl.col(c.EVENT_TYPE)
    return (
        pl.concat([acted, asked], how="diagonal")
        .group_by(key)
        .agg(
            pl.col(c.TIMESTAMP).min().alias("begin"),
            pl.col(c.TIMESTAMP).max().alias("finish"),
            (kind == c.PRODUCT_VIEW).sum().alias(e.PAGES),
            (kind == c.ADD_TO_CART).sum().alias("carts"),
            (kind == c.PURCHASE).sum().alias(e.PURCHASES),
            (kind == c.RETURN).sum().alias(e.RETURNS),
            pl.col(e.REVENUE).sum(),
        )
    )


def _did() -> list[pl.Expr]:
    minutes = (pl.col("finish") - pl.col("begin")).dt.total_milliseconds() / (
        1_000 * _SECONDS_PER_MINUTE
    )
    filled, bought = pl.col("carts") > 0, pl.col(e.PURCHASES) > 0
    sums = {
        e.SESSIONS: pl.len(),
        e.SESSION_MINUTES: minutes.sum(),
        e.PAGES: pl.col(e.PAGES).sum(),
        e.CART_SESSIONS: filled.sum(),
        e.ABANDONED_SESSIONS: (filled & ~bought).sum(),
        e.ORDERS: bought.sum(),
        e.REVENUE: pl.col(e.REVENUE).sum(),
        e.PURCHASES: pl.col(e.PURCHASES).sum(),
        e.RETURNS: pl.col(e.RETURNS).sum(),
    }
    return [total.cast(pl.Float64).alias(name) for name, total in sums.items()]


def _seen(options: TotalsOptions) -> list[pl.Expr]:
    answer = pl.col(c.POSITION) == _FIRST_POSITION  # latency and fallback are of the answer
    latency, fallback = pl.col(c.LATENCY_MS), pl.col(c.FALLBACK)
    sums = {
        e.IMPRESSIONS: pl.len(),
        e.CLICKS: pl.col(e.CLICKED).sum(),
        e.RECOMMENDED_REVENUE: pl.col(e.REVENUE).sum(),
        e.ANSWERS: answer.sum(),
        e.LATENCY: latency.filter(answer).sum(),
        e.SLOW_ANSWERS: (answer & (latency > options.slow_ms)).sum(),
        e.FALLBACK_ANSWERS: (answer & fallback.is_not_null()).sum(),
        e.FAILED_ANSWERS: (answer & fallback.is_in(options.failures)).sum(),
    }
    return [total.cast(pl.Float64).alias(name) for name, total in sums.items()]
