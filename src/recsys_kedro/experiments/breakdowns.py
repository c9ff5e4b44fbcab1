"""The effect by position, segment and day, and whether it wears off: effect tables."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

import polars as pl

from recsys_kedro import columns as c
from recsys_kedro.experiments import columns as e
from recsys_kedro.experiments.daily import (
    cumulative_statistics,
    late_and_early_totals,
    statistics_by_age,
)
from recsys_kedro.experiments.effect_tables import Adjustment, effect_table
from recsys_kedro.experiments.unit_metrics import CTR, Metric, parts_of, sufficient_statistics
from recsys_kedro.metrics.slices import history_group

Segmentation: TypeAlias = Literal["device_type", "history_length"]
UNKNOWN: Final = "unknown"
LEAST_PARTS: Final = 3
"""Two spans after a user's first exposure are compared; in the third users still come."""


@dataclass(frozen=True)
class Comparing:
    """How variants are compared.

    Attributes:
        control: the variant to compare with.
        confidence: of the intervals.
        planned_users: of both variants; given, the intervals hold at any look.
    """

    control: str
    confidence: float
    planned_users: int | None

    def table(
        self,
        statistics: pl.DataFrame,
        adjustment: Adjustment = "none",
        users_per_unit: float = 1.0,
    ) -> pl.DataFrame:
        """See :func:`.effect_tables.effect_table`; empty where no unit has the control."""
        if self.control not in statistics[c.VARIANT]:
            return pl.DataFrame()
        return effect_table(
            statistics,
            self.control,
            adjustment,
            self.confidence,
            self.planned_users,
            users_per_unit,
        )


def effect_by_position(totals: pl.LazyFrame, comparing: Comparing) -> pl.DataFrame:
    """The effect on the click-through rate at each position.

    Args:
        totals: from :func:`.unit_totals.position_totals`.
        comparing: how.
    """
    return comparing.table(sufficient_statistics(totals, [CTR], [c.POSITION]))


def effect_by_segment(
    totals: pl.LazyFrame,
    metric: Metric,
    segmentations: Sequence[Segmentation],
    least_users: int,
    comparing: Comparing,
) -> dict[str, pl.DataFrame]:
    """The effect in each segment, by what is cut.

    All intervals together hold with the confidence (Bonferroni), so that among many segments
    none stands out by chance alone. Segments are as at a user's first exposure, before the
    variant could change them.

    Args:
        totals: from :func:`.unit_totals.unit_totals`.
        metric: the primary one.
        segmentations: what is cut.
        least_users: of all variants; smaller segments are left out.
        comparing: how.
    """
    named = totals.with_columns(
        pl.col(c.DEVICE_TYPE).fill_null(UNKNOWN),
        history_group(pl.col(c.HISTORY_LENGTH)).alias(c.HISTORY_LENGTH),
    )
    statistics = {}
    for name in segmentations:
        found = sufficient_statistics(named, [metric], [name])
        statistics[name] = found.filter(pl.col(e.UNITS).sum().over(name) >= least_users)
    groups = sum(frame[name].n_unique() for name, frame in statistics.items())
    together = 1 - (1 - comparing.confidence) / max(groups, 1)
    comparing = replace(comparing, confidence=together)
    return {name: comparing.table(frame, "cuped") for name, frame in statistics.items()}


def effect_by_day(
    daily: pl.LazyFrame, totals: pl.LazyFrame, metric: Metric, comparing: Comparing
) -> pl.DataFrame:
    """The effect as it stood at the end of each day.

    Args:
        daily: from :func:`.unit_totals.daily_totals`.
        totals: from :func:`.unit_totals.unit_totals`, for the past of the users.
        metric: the primary one.
        comparing: how; each day is a look, so the intervals should hold at any.
    """
    parts = parts_of(metric, totals.collect_schema().names())
    past = [name for name in parts if name.startswith(e.PRE)]
    with_past = daily.join(totals.select(c.USER_ID, *past), on=c.USER_ID)
    return comparing.table(cumulative_statistics(with_past, [metric]), "cuped")


def effect_by_age(
    daily: pl.LazyFrame, units: pl.LazyFrame, days: int, metric: Metric, comparing: Comparing
) -> pl.DataFrame:
    """The effect on each day since a user's first exposure, of those whom the log shows then.

    ``days`` are whole ones; see :func:`.daily.statistics_by_age`.
    """
    whole = daily.filter(pl.col(e.DAY) < days)
    return comparing.table(statistics_by_age(whole, units, days, [metric]))


def late_minus_early(
    daily: pl.LazyFrame,
    units: pl.LazyFrame,
    days: int,
    longest: int,
    metric: Metric,
    comparing: Comparing,
) -> pl.DataFrame:
    """By how much the effect differs between two equal spans after a user's first exposure.

    Each span is a third of the ``days``, at most ``longest``; empty where that is no day.
    """
    span = min(longest, days // LEAST_PARTS)
    if not span:
        return pl.DataFrame()
    totals = late_and_early_totals(daily, units, days, span)
    return comparing.table(sufficient_statistics(totals, [metric]), "difference")
