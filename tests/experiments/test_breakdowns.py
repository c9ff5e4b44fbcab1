import numpy as np
import polars as pl
import pytest

from recsys_kedro import columns as c
from recsys_kedro.experiments import columns as e
from recsys_kedro.experiments.breakdowns import (
    Comparing,
    effect_by_age,
    effect_by_day,
    effect_by_position,
    effect_by_segment,
    late_minus_early,
)
from recsys_kedro.experiments.effect_tables import effect_table
from recsys_kedro.experiments.unit_metrics import metric_named, sufficient_statistics

REVENUE = metric_named("revenue_per_user")
ONCE = Comparing("old", 0.95, planned_users=None)


@pytest.fixture
def totals():
    """Twelve users; the first six on mobile, every fourth without a history."""
    rng = np.random.default_rng(0)
    return pl.LazyFrame(
        {
            c.USER_ID: [f"u{n}" for n in range(12)],
            c.VARIANT: ["old", "new"] * 6,
            c.DEVICE_TYPE: ["mobile"] * 6 + ["desktop"] * 4 + [None] * 2,
            c.HISTORY_LENGTH: [0, 1, 3, 9] * 3,
            e.FIRST_DAY: [0] * 12,
            e.REVENUE: rng.lognormal(size=12),
            e.ORDERS: np.ones(12),
            e.PRE + e.REVENUE: rng.lognormal(size=12),
        }
    )


@pytest.fixture
def units(totals):
    return totals.select(c.USER_ID, c.VARIANT, e.FIRST_DAY)


@pytest.fixture
def daily(totals):
    """All revenue on day 0, and again as much on day 2."""
    days = pl.LazyFrame({e.DAY: [0, 2]}, schema={e.DAY: pl.Int64})
    return totals.select(pl.exclude(e.PRE + e.REVENUE)).join(days, how="cross")


def test_a_segment_is_compared_within_itself(totals):
    tables = effect_by_segment(totals, REVENUE, ["device_type"], 6, ONCE)
    mobile = totals.filter(pl.col(c.DEVICE_TYPE) == "mobile")
    alone = effect_table(sufficient_statistics(mobile, [REVENUE]), "old", "cuped")
    found = tables[c.DEVICE_TYPE]
    assert found[c.DEVICE_TYPE].to_list() == ["mobile"], "the others have fewer than six users"
    assert found["difference"].item() == pytest.approx(alone["difference"].item())
    assert found["difference_high"].item() == pytest.approx(alone["difference_high"].item())


def test_intervals_of_all_segments_hold_together(totals):
    tables = effect_by_segment(totals, REVENUE, ["device_type", "history_length"], 2, ONCE)
    assert sorted(tables[c.DEVICE_TYPE][c.DEVICE_TYPE]) == ["desktop", "mobile", "unknown"]
    groups = 3 + 4
    mobile = totals.filter(pl.col(c.DEVICE_TYPE) == "mobile")
    statistics = sufficient_statistics(mobile, [REVENUE])
    stricter = effect_table(statistics, "old", "cuped", 1 - (1 - 0.95) / groups)
    found = tables[c.DEVICE_TYPE].filter(pl.col(c.DEVICE_TYPE) == "mobile")
    assert found["difference_high"].item() == pytest.approx(stricter["difference_high"].item())


def test_history_is_cut_into_the_groups_of_the_evaluation(totals):
    """No group of one user of a variant alone is compared: 0 and 3 are old, 1 and 9 are new."""
    tables = effect_by_segment(totals, REVENUE, ["history_length"], 2, ONCE)
    assert tables[c.HISTORY_LENGTH].is_empty()
    turned = totals.with_columns(pl.col(c.HISTORY_LENGTH).sort())
    tables = effect_by_segment(turned, REVENUE, ["history_length"], 2, ONCE)
    assert sorted(tables[c.HISTORY_LENGTH][c.HISTORY_LENGTH]) == ["0", "1", "2-5", "6+"]


def test_without_the_control_there_is_nothing(totals):
    only_new = totals.filter(pl.col(c.VARIANT) == "new")
    assert ONCE.table(sufficient_statistics(only_new, [REVENUE])).is_empty()


def test_the_last_day_says_what_the_whole_says(totals, daily):
    doubled = totals.with_columns(pl.col(e.REVENUE) * 2)
    whole = effect_table(sufficient_statistics(doubled, [REVENUE]), "old", "cuped")
    by_day = effect_by_day(daily, totals, REVENUE, ONCE)
    last = by_day.filter(pl.col(e.DAY) == 2)
    assert by_day[e.DAY].to_list() == [0, 2]
    for column in ("difference", "difference_low", "p_value"):
        assert last[column].item() == pytest.approx(whole[column].item())


def test_a_day_that_is_not_whole_is_no_age(units, daily):
    found = effect_by_age(daily, units, 2, REVENUE, ONCE)
    assert found[e.AGE].to_list() == [0]
    assert effect_by_age(daily, units, 3, REVENUE, ONCE)[e.AGE].to_list() == [0, 2]
    later = daily.filter(pl.col(e.DAY) == 2).with_columns(pl.lit(1, pl.Int64).alias(e.FIRST_DAY))
    found = effect_by_age(later, units, 2, REVENUE, ONCE)
    assert found.is_empty(), "day 2 of users who came on day 1 is not their age 1 yet"


def test_late_minus_early_compares_spans_of_a_third(totals, units, daily):
    """All of it is on days 0 and 2: with spans of one day, day 1 minus day 0."""
    found = late_minus_early(daily, units, 3, 7, REVENUE, ONCE)
    early = effect_table(sufficient_statistics(totals.drop(e.PRE + e.REVENUE), [REVENUE]), "old")
    assert found["difference"].item() == pytest.approx(-early["difference"].item())
    assert late_minus_early(daily, units, 2, 7, REVENUE, ONCE).is_empty()
    capped = late_minus_early(daily, units, 9, 1, REVENUE, ONCE)
    assert capped["difference"].item() == pytest.approx(found["difference"].item())


def test_clicks_by_position():
    totals = pl.LazyFrame(
        {
            c.VARIANT: ["old", "old", "new", "new"],
            c.POSITION: [1, 2, 1, 2],
            e.IMPRESSIONS: [4.0, 4.0, 5.0, 5.0],
            e.CLICKS: [2.0, 1.0, 4.0, 0.0],
        }
    )
    found = effect_by_position(totals, ONCE).sort(c.POSITION)
    assert found["control"].to_list() == [2 / 4, 1 / 4]
    assert found["treatment"].to_list() == [4 / 5, 0 / 5]
