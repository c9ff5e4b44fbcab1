"""The experiment day by day: what was known at each look, and whether the effect wears off."""

from collections.abc import Sequence

import polars as pl

from recsys_kedro import columns as c
from recsys_kedro.experiments import columns as e
from recsys_kedro.experiments.unit_metrics import (
    METRICS,
    STATISTICS,
    Metric,
    as_rows,
    statistics_of,
    sufficient_statistics,
    with_constants,
)
from recsys_kedro.experiments.unit_totals import with_buyers


def cumulative_statistics(daily: pl.LazyFrame, metrics: Sequence[Metric] = METRICS) -> pl.DataFrame:
    """The sufficient statistics as they stood at the end of each day: one look a day.

    One row per metric, variant and day. A user's totals grow from day to day; what a day adds
    to a sum of squares is the new square minus the old one, so only users who did something
    on a day are touched.

    Args:
        daily: from :func:`.unit_totals.daily_totals`; for CUPED join the ``pre_*`` totals on.
        metrics: which.
    """
    known = daily.collect_schema().names()
    growing = [name for name in known if name in e.TOTALS]
    so_far = pl.col(growing).cum_sum().over(c.USER_ID)
    totals = with_buyers(daily.sort(c.USER_ID, e.DAY).with_columns(so_far))
    is_first = pl.col(c.USER_ID).ne_missing(pl.col(c.USER_ID).shift(1))
    wanted = [
        pl.when(is_first).then(now).otherwise(now - now.shift(1)).alias(f"{metric.name}.{name}")
        for metric in metrics
        for name, now in zip(STATISTICS, statistics_of(metric, known), strict=True)
    ]
    groups = [c.VARIANT, e.DAY]
    added = with_constants(totals).select(*groups, *wanted)
    summed = added.group_by(groups).agg(pl.all().sum()).sort(groups)
    wide = summed.with_columns(pl.all().exclude(groups).cum_sum().over(c.VARIANT)).collect()
    return as_rows(wide, metrics, groups)


def statistics_by_age(
    daily: pl.LazyFrame, units: pl.LazyFrame, days: int, metrics: Sequence[Metric] = METRICS
) -> pl.DataFrame:
    """The sufficient statistics of each day since a user's first exposure (``age``, from 0).

    One row per metric, variant and age. At an age only users count who could reach it in the
    ``days`` of the log; those who did nothing on that day count with nothing. Comparing by age
    and not by date keeps new and old users apart, which is what novelty is about.
    """
    ages = pl.LazyFrame({e.AGE: range(days)}, schema={e.AGE: pl.Int64})
    reached = (
        units.join(ages, how="cross")
        .filter(pl.col(e.FIRST_DAY) + pl.col(e.AGE) < days)
        .group_by(c.VARIANT, e.AGE)
        .agg(pl.len().cast(pl.Float64).alias("reached"))
        .collect(engine="streaming")
    )
    past = pl.selectors.starts_with(e.PRE)
    statistics = sufficient_statistics(_with_age(daily).drop(past), metrics, by=[e.AGE])
    joined = statistics.join(reached, on=[c.VARIANT, e.AGE])
    per_unit = pl.col(e.METRIC).is_in([m.name for m in metrics if m.denominator is None])
    count = pl.col("reached")
    return joined.with_columns(
        count.alias(e.UNITS),
        *(
            pl.when(per_unit).then(count).otherwise(pl.col(name)).alias(name)
            for name in ("sum_denominator", "sum_denominator_by_denominator")
        ),
    ).drop("reached")


def late_and_early_totals(
    daily: pl.LazyFrame, units: pl.LazyFrame, days: int, half: int
) -> pl.LazyFrame:
    """Totals of a user's second ``half`` days after first exposure; ``pre_*`` of the first.

    One row per user who could reach both within the ``days`` of the log. The effect on late
    minus early, with the difference as adjustment, is below 0 where a novelty wears off.
    """
    age = pl.col(e.AGE)
    aged = _with_age(daily)
    known = daily.collect_schema().names()
    sums = pl.col([name for name in known if name in e.TOTALS]).sum()
    early, late = (
        with_buyers(aged.filter(part).group_by(c.USER_ID).agg(sums))
        for part in (age < half, age.is_between(half, 2 * half, closed="left"))
    )
    before = early.rename(lambda name: name if name == c.USER_ID else e.PRE + name)
    whole = units.filter(pl.col(e.FIRST_DAY) + 2 * half <= days)
    both = whole.join(late, on=c.USER_ID, how="left").join(before, on=c.USER_ID, how="left")
    totals = [
        name for name in both.collect_schema().names() if name.removeprefix(e.PRE) in e.TOTALS
    ]
    return both.with_columns(pl.col(totals).fill_null(0))


def _with_age(daily: pl.LazyFrame) -> pl.LazyFrame:
    return daily.with_columns((pl.col(e.DAY) - pl.col(e.FIRST_DAY)).alias(e.AGE))
