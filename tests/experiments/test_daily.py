import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from recsys_kedro import columns as c
from recsys_kedro.experiments import columns as e
from recsys_kedro.experiments.attribution import AttributionOptions, attribute
from recsys_kedro.experiments.daily import (
    cumulative_statistics,
    late_and_early_totals,
    statistics_by_age,
)
from recsys_kedro.experiments.exposures import Scope, exposed_units
from recsys_kedro.experiments.unit_metrics import CTR, metric_named, sufficient_statistics
from recsys_kedro.experiments.unit_totals import TotalsOptions, daily_totals, unit_totals

DAYS = 10
REVENUE, BUYERS = metric_named("revenue_per_user"), metric_named("conversion")
METRICS = [CTR, REVENUE, BUYERS]


@pytest.fixture(scope="module")
def log(make_impressions, make_events):
    """60 users with some sessions over the ten days and the ten before; all within a day."""
    rng = np.random.default_rng(0)
    shown, done = [], []
    for number in range(300):
        at, user = int(rng.integers(-10, DAYS)) * 24 + 12, int(rng.integers(60))
        who = {c.USER_ID: f"u{user:02}", c.SESSION_ID: f"s{number}"}
        answer = {c.RECOMMENDATION_ID: f"r{number}", c.VARIANT: "ab"[user % 2], "at": at}
        shown.append({**who, **answer})
        if rng.random() < 0.6:
            kind = c.CLICK if rng.random() < 0.5 else c.PURCHASE
            price = float(rng.integers(1, 9))
            done.append({**who, "at": at + 1, c.EVENT_TYPE: kind, c.PRICE: price})
    impressions, events = make_impressions(*shown), make_events(*done)
    return attribute(impressions, events, AttributionOptions(window_hours=2)), events


@pytest.fixture(scope="module")
def units(log, scope):
    return exposed_units(log[0], scope).sort(c.USER_ID).collect().lazy()


@pytest.fixture(scope="module")
def daily(log, units, scope):
    past = unit_totals(units, *log, scope, TotalsOptions()).select(
        c.USER_ID, pl.selectors.starts_with(e.PRE)
    )
    return (
        daily_totals(units, *log, scope, TotalsOptions()).join(past, on=c.USER_ID).collect().lazy()
    )


@pytest.mark.parametrize("day", range(DAYS))
def test_a_look_is_what_the_log_up_to_then_says(log, daily, scope, day):
    end = scope.start + (scope.end - scope.start) * (day + 1) / DAYS
    until = Scope(scope.experiment, scope.start, end)
    units = exposed_units(log[0], until)
    expected = sufficient_statistics(unit_totals(units, *log, until, TotalsOptions()), METRICS)
    looks = cumulative_statistics(daily, METRICS)
    found = looks.filter(pl.col(e.DAY) == day).drop(e.DAY)
    assert_frame_equal(found, expected, check_exact=False)


def test_the_days_since_first_exposure(units, daily):
    found = statistics_by_age(daily, units, DAYS, [REVENUE, CTR])
    first_days = units.select(e.FIRST_DAY, c.VARIANT).collect()
    frame = daily.collect().with_columns((pl.col(e.DAY) - pl.col(e.FIRST_DAY)).alias("age"))
    for row in found.iter_rows(named=True):
        variant, age = row[c.VARIANT], row[e.AGE]
        reached = [d for d, v in first_days.iter_rows() if v == variant and d + age < DAYS]
        did = frame.filter((pl.col(c.VARIANT) == variant) & (pl.col("age") == age))
        assert row[e.UNITS] == len(reached)
        if row[e.METRIC] == REVENUE.name:
            assert row["sum_denominator"] == row["sum_denominator_by_denominator"] == len(reached)
            assert (
                row["sum_numerator"] == row["sum_numerator_by_denominator"] == did[e.REVENUE].sum()
            )
        else:
            assert row["sum_denominator"] == did[e.IMPRESSIONS].sum()
        assert row["sum_pre_numerator"] == 0
    assert found.filter(pl.col(e.AGE) == 0)[e.UNITS].sum() == 2 * first_days.height


def test_late_and_early(units, daily):
    found = late_and_early_totals(daily, units, DAYS, half=3).collect()
    whole = units.filter(pl.col(e.FIRST_DAY) <= DAYS - 6).collect()
    assert sorted(found[c.USER_ID]) == sorted(whole[c.USER_ID])
    aged = daily.collect().with_columns((pl.col(e.DAY) - pl.col(e.FIRST_DAY)).alias("age"))
    for row in found.iter_rows(named=True):
        mine = aged.filter(pl.col(c.USER_ID) == row[c.USER_ID])
        early, late = mine.filter(pl.col("age") < 3), mine.filter(pl.col("age").is_between(3, 5))
        assert row[e.REVENUE] == late[e.REVENUE].sum()
        assert row[e.PRE + e.REVENUE] == early[e.REVENUE].sum()
        assert row[e.BUYERS] == (late[e.ORDERS].sum() > 0)
        assert row[e.PRE + e.BUYERS] == (early[e.ORDERS].sum() > 0)
