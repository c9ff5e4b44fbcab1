import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from recsys_kedro.experiments.delta_method import cuped_slope
from recsys_kedro.experiments.effects import compare
from recsys_kedro.experiments.moments import Moments, moments_of_sums, moments_of_units
from recsys_kedro.experiments.power import (
    Baseline,
    PowerOptions,
    baseline_of,
    detectable_lift,
    planned_lengths,
    power_of,
    shortest_length,
    units_needed,
)
from recsys_kedro.experiments.sequential import width_in_errors
from recsys_kedro.experiments.simulated_units import CTR, simulate_units

ONCE = PowerOptions(looks="once")
BASELINE = Baseline(days=7, units=10_000, value=2.0, variance=9.0)


def test_the_textbook_sample_size():
    """``(1.96 + 0.84)^2 (variance_t + variance_c) / difference^2`` in each variant."""
    shift = stats.norm.ppf(0.975) + stats.norm.ppf(0.8)
    in_each = shift**2 * (9 * 1.1**2 + 9) / (0.1 * 2) ** 2
    assert units_needed(BASELINE, 0.1, ONCE) == pytest.approx(2 * in_each, abs=1)


@given(
    st.floats(0.01, 0.5),
    st.sampled_from(["once", "daily"]),
    st.floats(0.1, 0.9),
    st.floats(0.5, 0.95),
)
def test_units_lift_and_power_belong_together(lift, looks, share, power):
    options = PowerOptions(looks=looks, treatment_share=share, power=power)
    units = units_needed(BASELINE, lift, options)
    assert power_of(BASELINE, lift, units, options) == pytest.approx(power, abs=0.01)
    assert power_of(BASELINE, lift, units, options) >= power - 1e-3
    assert detectable_lift(BASELINE, units, options) == pytest.approx(lift, rel=0.01)


def test_no_effect_is_found_as_often_as_the_alarm_is_false():
    assert power_of(BASELINE, 0.0, 10_000, ONCE) == pytest.approx(0.05)


def test_looking_daily_and_an_uneven_split_need_more():
    units = units_needed(BASELINE, 0.1, ONCE)
    assert 1.2 * units < units_needed(BASELINE, 0.1, PowerOptions(looks="daily")) < 2 * units
    uneven = PowerOptions(looks="once", treatment_share=0.1)
    growth = (1 / 0.9 + 1.1**2 / 0.1) / (1 / 0.5 + 1.1**2 / 0.5)
    assert units_needed(BASELINE, 0.1, uneven) == pytest.approx(units * growth, abs=3)


def test_lengths():
    weeks = [Baseline(days=14, units=18_000, value=3.0, variance=16.0), BASELINE]
    options = PowerOptions(looks="once", traffic_share=0.5)
    week, fortnight = planned_lengths(weeks, 0.09, options)
    assert (week.days, week.units) == (7, 5_000)
    assert (fortnight.days, fortnight.units) == (14, 9_000)
    assert week.detectable_lift == detectable_lift(BASELINE, 5_000, options)
    assert week.power < 0.8 < fortnight.power
    assert shortest_length([week, fortnight], 0.09) == fortnight
    assert shortest_length([week, fortnight], 0.2) == week
    assert shortest_length([week, fortnight], 0.01) is None


def test_too_few_units_find_nothing():
    assert detectable_lift(BASELINE, 20, ONCE) == np.inf


def test_a_harm_is_found_as_a_gain_of_that_size_is():
    assert power_of(BASELINE, -0.1, 5_000, ONCE) == power_of(BASELINE, 0.1, 5_000, ONCE)
    assert units_needed(BASELINE, -0.1, ONCE) == units_needed(BASELINE, 0.1, ONCE)


def test_the_baseline_of_a_ratio_with_and_without_its_past():
    clicks, shown = np.array([1.0, 2.0, 6.0, 3.0]), np.array([10.0, 30.0, 20.0, 20.0])
    past = np.array([0.0, 1.0, 4.0, 1.0])
    moments = moments_of_units(clicks, shown, past, shown)
    plain, adjusted = (baseline_of(moments, 7, cuped=cuped) for cuped in (False, True))
    ratio = 12 / 80
    assert (plain.days, plain.units, plain.value) == (7, 4, ratio)
    assert plain.variance == pytest.approx((clicks - ratio * shown).var(ddof=1) / 20**2)
    assert adjusted.variance < 0.3 * plain.variance


@pytest.mark.parametrize("cuped", [False, True])
def test_the_planned_power_is_reached(cuped):
    rng = np.random.default_rng(0)
    history = simulate_units(rng, 1, 20_000).ctr()
    first = Moments(history.count[0], history.mean[0], history.covariance[0])
    baseline = baseline_of(first, 28, cuped)
    assert baseline.value == pytest.approx(CTR, rel=0.03)
    size = int(units_needed(baseline, 0.12, ONCE) / 2)
    t, c = (simulate_units(rng, 200, size, lift).ctr() for lift in (0.12, 0.0))
    found = compare(t, c, cuped_slope(t, c) if cuped else 0.0).p_value < 0.05
    low, high = stats.binom.interval(0.998, 200, 0.8)
    assert low <= found.sum() <= high


@pytest.mark.parametrize(("confidence", "lift"), [(0.95, 0.1), (0.51, 0.0)])
def test_two_looks_are_two_correlated_normals(confidence, lift):
    options, units = PowerOptions(looks="daily", confidence=confidence), 9_000
    two_days = Baseline(days=2, units=units, value=2.0, variance=9.0)
    shift = lift * 2 / np.sqrt(9 * (1 + (1 + lift) ** 2) / (units / 2))
    width_2 = width_in_errors(np.array([0.5, 1.0]), 1.0, confidence, least_units=0)
    together = stats.multivariate_normal(
        [shift * np.sqrt(0.5), shift], [[1, np.sqrt(0.5)], [np.sqrt(0.5), 1]]
    )
    found = power_of(two_days, lift, units, options)
    assert found == pytest.approx(1 - together.cdf(width_2), abs=0.01)


@pytest.mark.parametrize("power", [0.8, 0.95])
def test_the_planned_power_of_daily_looks_is_reached(power):
    days, lift, replications = 14, 0.05, 4_000
    options = PowerOptions(looks="daily", power=power)
    baseline = Baseline(days=days, units=1.0, value=2.0, variance=1.0)
    a_day = units_needed(baseline, lift, options) // 2 // days
    rng = np.random.default_rng(0)
    t, c = (so_far(rng.normal(mean, 1, (replications, days, a_day))) for mean in (2.1, 2.0))
    effect = compare(t, c, width=width_in_errors(t.count + c.count, 2 * days * a_day))
    found = (effect.difference.low > 0).any(axis=1).sum()
    low, high = stats.binom.interval(0.998, replications, power)
    assert low <= found <= high


def so_far(values_RDN):
    """The moments at the end of each day."""
    sums, squares = (part.sum(axis=2).cumsum(axis=1) for part in (values_RDN, values_RDN**2))
    days, a_day = values_RDN.shape[1:]
    count = np.arange(1.0, days + 1) * a_day * np.ones_like(sums)
    none = np.zeros_like(sums)
    parts = np.stack([sums, count, none, none], axis=-1)
    products = np.stack([squares, sums, none, none, count, *[none] * 5], axis=-1)
    return moments_of_sums(count, parts, products)
