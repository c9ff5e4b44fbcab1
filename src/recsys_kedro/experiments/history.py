"""What a shop's own history says about experiments that have not been run yet.

Whoever did anything in a window would have been in an experiment of that window: from the first
event on, since it is then that a list is shown. Totals and metrics are those of the analysis, so
that a plan is made of the same figures that will be judged.
"""

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import polars as pl

from recsys_kedro import columns as c
from recsys_kedro.experiments import columns as e
from recsys_kedro.experiments.delta_method import values_of
from recsys_kedro.experiments.exposures import Scope
from recsys_kedro.experiments.log import Log, part_of
from recsys_kedro.experiments.moments import Moments
from recsys_kedro.experiments.power import Baseline, baseline_of
from recsys_kedro.experiments.unit_metrics import Metric, moments_of, sufficient_statistics
from recsys_kedro.experiments.unit_totals import TotalsOptions, unit_totals
from recsys_kedro.schemas import IMPRESSIONS

_NO_IMPRESSIONS: Final = {name: column.dtype.type for name, column in IMPRESSIONS.columns.items()}
_EVERYBODY: Final = "everybody"


def window_moments(
    events: pl.DataFrame,
    products: pl.DataFrame,
    start: datetime,
    end: datetime,
    metrics: Sequence[Metric],
    options: TotalsOptions,
) -> dict[str, Moments]:
    """By metric, the moments over the users who did anything in ``[start, end)``.

    Metrics of clicks on lists, and of answers, are not known from events alone.

    Raises:
        ValueError: if nobody did anything in the window.
    """
    scope = Scope(_EVERYBODY, start, end)
    log = Log(pl.LazyFrame(schema=_NO_IMPRESSIONS), events.lazy(), products.lazy())
    units = (
        log.events.filter(pl.col(c.TIMESTAMP).is_between(start, end, closed="left"))
        .group_by(c.USER_ID)
        .agg(pl.col(c.TIMESTAMP).min().alias(e.FIRST_EXPOSURE))
        .with_columns(pl.lit(_EVERYBODY).alias(c.VARIANT))
    )
    part = part_of(log, units, scope, options.pre_days)
    shown = part.impressions.with_columns(
        pl.lit(False).alias(e.CLICKED), pl.lit(0.0).alias(e.REVENUE)
    )
    totals = unit_totals(units, shown, part.events, scope, options)
    statistics = sufficient_statistics(totals, metrics)
    if statistics.is_empty():
        msg = f"events: none between {start:%Y-%m-%d} and {end:%Y-%m-%d}; choose another window"
        raise ValueError(msg)
    moments = {}
    for metric in metrics:
        of_it = moments_of(statistics.filter(pl.col(e.METRIC) == metric.name))
        moments[metric.name] = Moments(of_it.count[0], of_it.mean[0], of_it.covariance[0])
    return moments


def past_baselines(
    events: pl.DataFrame,
    products: pl.DataFrame,
    end: datetime,
    lengths_days: Sequence[int],
    metric: Metric,
    options: TotalsOptions,
    cuped: bool,
) -> list[Baseline]:
    """The metric over the windows of each length that end at ``end``."""
    baselines = []
    for days in lengths_days:
        start = end - timedelta(days=days)
        moments = window_moments(events, products, start, end, [metric], options)
        baselines.append(baseline_of(moments[metric.name], days, cuped))
    return baselines


def past_windows(
    events: pl.DataFrame,
    products: pl.DataFrame,
    end: datetime,
    days: int,
    windows: int,
    metrics: Sequence[Metric],
    options: TotalsOptions,
) -> pl.DataFrame:
    """The metrics over some windows of equal length, one before the other, the latest first.

    One row per window and metric: ``start``; ``users`` who did anything; ``value``;
    ``deviation``, the standard deviation between users; ``correlation`` of the users' values with
    those before the window, whose square CUPED takes off the variance.
    """
    rows = []
    for back in range(windows):
        until = end - timedelta(days=days * back)
        start = until - timedelta(days=days)
        for name, moments in window_moments(
            events, products, start, until, metrics, options
        ).items():
            baseline = baseline_of(moments, days, cuped=False)
            rows.append(
                {
                    "start": start,
                    e.METRIC: name,
                    "users": int(baseline.units),
                    "value": baseline.value,
                    "deviation": math.sqrt(baseline.variance),
                    "correlation": _correlation_with_past(moments),
                }
            )
    return pl.DataFrame(rows)


def _correlation_with_past(moments: Moments) -> float:
    """NaN where there is no past, or no variance."""
    values = values_of(moments)
    spread = math.sqrt(float(values.variance * values.variance_before))
    return float(values.covariance) / spread if spread > 0 else math.nan
