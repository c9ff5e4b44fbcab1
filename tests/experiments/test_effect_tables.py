import numpy as np
import polars as pl
import pytest

from recsys_kedro import columns as c
from recsys_kedro.experiments import columns as e
from recsys_kedro.experiments.delta_method import cuped_slope
from recsys_kedro.experiments.effect_tables import effect_table, effects_of, with_corrections
from recsys_kedro.experiments.effects import compare
from recsys_kedro.experiments.moments import moments_of_units
from recsys_kedro.experiments.sequential import always_valid_p_values, width_in_errors
from recsys_kedro.experiments.unit_metrics import CTR, metric_named, sufficient_statistics

REVENUE = metric_named("revenue_per_user")
SIZE = 900


@pytest.fixture(scope="module")
def totals():
    rng = np.random.default_rng(0)
    past = rng.gamma(1, size=SIZE)
    return pl.DataFrame(
        {
            c.VARIANT: ["new", "old", "other"] * (SIZE // 3),
            "device": ["mobile", "mobile", "mobile", "desktop", None, None] * (SIZE // 6),
            e.CLICKS: rng.poisson(2, SIZE).astype(float),
            e.IMPRESSIONS: rng.integers(5, 20, SIZE).astype(float),
            e.REVENUE: past + rng.gamma(1, size=SIZE),
            f"{e.PRE}{e.REVENUE}": past,
        }
    )


@pytest.fixture(scope="module")
def statistics(totals):
    return sufficient_statistics(totals.lazy(), [CTR, REVENUE])


def revenue(totals, variant):
    mine = totals.filter(pl.col(c.VARIANT) == variant)
    return moments_of_units(
        mine[e.REVENUE].to_numpy(), pre_numerator=mine[f"{e.PRE}{e.REVENUE}"].to_numpy()
    )


def test_every_treatment_on_every_metric(statistics):
    table = effect_table(statistics, "old")
    assert table.select(e.METRIC, c.VARIANT, e.UNITS, "units_control").rows() == [
        (metric, variant, SIZE / 3, SIZE / 3)
        for metric in ("ctr", "revenue_per_user")
        for variant in ("new", "other")
    ]


@pytest.mark.parametrize("adjustment", ["none", "cuped", "difference"])
def test_a_row_is_the_comparison_of_its_moments(totals, statistics, adjustment):
    t, old = revenue(totals, "new"), revenue(totals, "old")
    slope = {"none": 0.0, "cuped": cuped_slope(t, old), "difference": 1.0}[adjustment]
    effect = compare(t, old, slope)
    row = effect_table(statistics, "old", adjustment).row(2, named=True)
    assert (row[e.METRIC], row[c.VARIANT]) == ("revenue_per_user", "new")
    found = [row["treatment"], row["control"], row["p_value"]]
    assert found == pytest.approx([effect.treatment, effect.control, effect.p_value])
    for name, estimate in (("difference", effect.difference), ("relative", effect.relative)):
        found = [row[name], row[f"{name}_low"], row[f"{name}_high"]]
        expected = np.array([estimate.value, estimate.low, estimate.high])
        assert found == pytest.approx(expected)


def test_saving(statistics):
    saving = effect_table(statistics, "old", "cuped")["saving"]
    assert saving[2] == pytest.approx(0.5, abs=0.1)
    assert saving[0] == 0, "there is no past of clicks"


def test_looks_get_always_valid_intervals(statistics):
    plain = effect_table(statistics, "old").row(0, named=True)
    always = effect_table(statistics, "old", planned_units=2_000).row(0, named=True)
    assert always["difference_low"] == -np.inf, "600 units are too few for an interval"
    more = statistics.with_columns(pl.exclude(e.METRIC, c.VARIANT) * 4)
    plain, always = (
        effect_table(more, "old", planned_units=p).row(0, named=True) for p in (None, 4_800)
    )
    wider = width_in_errors(2_400, 4_800) / 1.96
    half, half_always = (r["difference_high"] - r["difference"] for r in (plain, always))
    assert half_always / half == pytest.approx(wider, rel=0.01)
    distance = plain["difference"] / plain["difference_error"]
    expected = always_valid_p_values(distance, 2_400, 4_800)
    assert always["p_value"] == pytest.approx(expected)
    assert always["p_value"] > plain["p_value"]


def test_batches_count_for_their_users(statistics):
    """600 batches of 10 users are looked at as 6,000 users, with the error of 600 units."""
    plain = effect_table(statistics, "old").row(0, named=True)
    batches = effect_table(statistics, "old", planned_units=6_000, users_per_unit=10)
    half = batches["difference_high"][0] - batches["difference"][0]
    assert half == pytest.approx(plain["difference_error"] * width_in_errors(6_000, 6_000))


def test_segments_are_compared_within_themselves(totals):
    table = effect_table(sufficient_statistics(totals.lazy(), [REVENUE], ["device"]), "old")
    rows = (
        table.select(c.VARIANT, "device", e.UNITS, "units_control").sort(c.VARIANT, "device").rows()
    )
    half = SIZE / 6
    assert rows == [
        ("new", "mobile", half, half),
        ("other", None, half, half),
        ("other", "mobile", half, half),
    ]


def test_without_a_control_nothing_compares(statistics):
    with pytest.raises(ValueError, match="no unit of the control 'odl' in the log, only of new"):
        effect_table(statistics, "odl")


def test_corrections_are_over_the_rows_of_the_table(statistics):
    table = with_corrections(effect_table(statistics, "old"))
    assert (table["p_holm"] >= table["p_bh"]).all()
    assert (table["p_bh"] >= table["p_value"]).all()
    assert table["p_holm"].min() == pytest.approx(min(4 * table["p_value"].min(), 1))


def test_rows_as_objects(statistics):
    table = effect_table(statistics, "old")
    first = effects_of(table)[0]
    assert (first.metric, first.variant, first.units) == ("ctr", "new", SIZE / 3)
    assert first.relative_high == table["relative_high"][0]
