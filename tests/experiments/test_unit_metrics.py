import numpy as np
import polars as pl
import pytest

from recsys_kedro import columns as c
from recsys_kedro.experiments import columns as e
from recsys_kedro.experiments.unit_metrics import (
    COVERAGE,
    CTR,
    METRICS,
    metric_named,
    moments_of,
    sufficient_statistics,
)

REVENUE = metric_named("revenue_per_user")
TOTALS = pl.LazyFrame(
    {
        c.VARIANT: ["a", "a", "a", "b"],
        e.CLICKS: [1.0, 2.0, 3.0, 4.0],
        e.IMPRESSIONS: [10.0, 20.0, 20.0, 40.0],
        e.REVENUE: [0.0, 5.0, 7.0, 0.0],
        f"{e.PRE}{e.REVENUE}": [1.0, 2.0, 6.0, 0.0],
        "device": ["m", "m", "d", "m"],
    }
)


def row(statistics, metric, variant="a"):
    found = statistics.filter((pl.col(e.METRIC) == metric.name) & (pl.col(c.VARIANT) == variant))
    return found.row(0, named=True)


def test_a_ratio():
    found = row(sufficient_statistics(TOTALS, [CTR, REVENUE]), CTR)
    assert found[e.UNITS] == 3
    assert found["sum_numerator"] == 1 + 2 + 3
    assert found["sum_denominator"] == 10 + 20 + 20
    assert found["sum_numerator_by_denominator"] == 1 * 10 + 2 * 20 + 3 * 20
    assert found["sum_pre_numerator"] == found["sum_pre_denominator"] == 0


def test_a_mean_has_the_units_as_denominator_also_in_the_past():
    found = row(sufficient_statistics(TOTALS, [REVENUE]), REVENUE)
    assert found["sum_numerator_by_numerator"] == 5**2 + 7**2
    assert found["sum_denominator"] == found["sum_pre_denominator"] == 3
    assert found["sum_numerator_by_pre_numerator"] == 5 * 2 + 7 * 6


def test_groups():
    found = sufficient_statistics(TOTALS, [CTR, REVENUE], by=["device"])
    keys = found.select(e.METRIC, c.VARIANT, "device", e.UNITS).rows()
    assert keys == [
        (name, *rest)
        for name in ("ctr", "revenue_per_user")
        for rest in (("a", "d", 1), ("a", "m", 2), ("b", "m", 1))
    ]


def test_moments_are_those_of_numpy():
    moments = moments_of(sufficient_statistics(TOTALS, [REVENUE]))
    parts = np.array([[0, 5, 7], [1, 1, 1], [1, 2, 6], [1, 1, 1]], dtype=float)
    assert moments.count.tolist() == [3, 1]
    assert moments.mean[0] == pytest.approx(parts.mean(axis=1))
    assert moments.covariance[0] == pytest.approx(np.cov(parts))
    assert np.isnan(moments.covariance[1]).all(), "one unit has no variance"


def test_every_metric_is_made_of_totals_and_has_a_name_of_its_own():
    assert len({metric.name for metric in METRICS}) == len(METRICS)
    parts = {part for metric in METRICS for part in metric[1:3] if part is not None}
    assert parts <= e.TOTALS


def test_an_unknown_metric():
    assert metric_named("coverage") == COVERAGE
    with pytest.raises(ValueError, match="no metric 'crt', only ctr, conversion"):
        metric_named("crt")
