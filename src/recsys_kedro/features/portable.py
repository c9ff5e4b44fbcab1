"""Expressions that mean the same on every engine.

Durations are not portable (Narwhals has no total of a duration on PySpark), calendar parts are.
"""

from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

import narwhals as nw

from recsys_kedro import columns as c

Table: TypeAlias = nw.LazyFrame[Any]

DAY = timedelta(days=1)


def utc(as_of: datetime) -> datetime:
    """``as_of`` in UTC.

    Raises:
        ValueError: if it has no time zone.
    """
    if as_of.tzinfo is None:
        msg = f"as_of: {as_of.isoformat()} has no time zone; write it in UTC, e.g. with +00:00."
        raise ValueError(msg)
    return as_of.astimezone(UTC)


def before(as_of: datetime, days: int | None = None) -> nw.Expr:
    """Is the event strictly before ``as_of``, and at most ``days`` days before it?"""
    past = nw.col(c.TIMESTAMP) < nw.lit(as_of)
    if days is None:
        return past
    return past & (nw.col(c.TIMESTAMP) >= nw.lit(as_of - days * DAY))


def whole_days_until(as_of: datetime, column: str) -> nw.Expr:
    """Whole days (rounded down) from the UTC times in ``column`` to ``as_of``; Int64.

    Negative where the time is after ``as_of``, null where it is null.
    """
    time = nw.col(column).dt.convert_time_zone("UTC")
    later_in_day = _microsecond_of_day(time) > _microsecond_of_day_of(as_of)
    return as_of.toordinal() - _ordinal(time) - later_in_day.cast(nw.Int64)


def ratio(numerator: nw.Expr, denominator: nw.Expr) -> nw.Expr:
    """One count over another; a denominator of 0 counts as 1, so the ratio is always defined."""
    return numerator / nw.max_horizontal(denominator, nw.lit(1))


def highest_of_latest(table: Table, value: str, time: str) -> nw.Expr:
    """An aggregation of ``table``: the ``value`` at the latest ``time``, the highest of several.

    Rows without a ``time`` must have no ``value``.
    """
    # Narwhals 2.29 has no `last` on PySpark, and Polars has no maximum of a struct.
    if table.implementation.is_spark_like():
        return nw.struct(time, value).max().struct.field(value).alias(value)
    return nw.col(value).last(order_by=[time, value])


def settled(amount: nw.Expr) -> nw.Expr:
    """A sum of floats to 6 decimals.

    Engines add in any order, so the last bits change from run to run; these do not. Not for a
    mean, which may lie just between two of them: divide the settled sum.
    """
    return amount.round(6)


def _ordinal(time: nw.Expr) -> nw.Expr:
    """Days since 0001-01-01 in the proleptic Gregorian calendar, as ``date.toordinal``."""
    years = time.dt.year().cast(nw.Int64) - 1
    leap_days = years // 4 - years // 100 + years // 400
    return years * 365 + leap_days + time.dt.ordinal_day().cast(nw.Int64)


def _microsecond_of_day(time: nw.Expr) -> nw.Expr:
    hours = time.dt.hour().cast(nw.Int64)
    seconds = (hours * 60 + time.dt.minute()) * 60 + time.dt.second()
    return seconds * 1_000_000 + time.dt.microsecond()


def _microsecond_of_day_of(time: datetime) -> int:
    return ((time.hour * 60 + time.minute) * 60 + time.second) * 1_000_000 + time.microsecond
