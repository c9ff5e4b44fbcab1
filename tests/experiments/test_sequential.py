import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, stats

from recsys_kedro.experiments.effects import compare
from recsys_kedro.experiments.sequential import always_valid_p_values, width_in_errors
from recsys_kedro.experiments.simulated_units import simulate_looks

REPLICATIONS, DAYS, USERS = 200, 14, 1_000


def looks(seed, returning, lift=0.0):
    rng = np.random.default_rng(seed)
    return simulate_looks(rng, REPLICATIONS, USERS, DAYS, returning, lift)


def test_it_is_the_formula_of_the_paper():
    """``sigma sqrt(2 (t rho^2 + 1) / (t^2 rho^2) log(sqrt(t rho^2 + 1) / alpha))``."""
    alpha, t, planned, sigma = 0.05, 3_000.0, 10_000.0, 2.5
    tau = optimize.brentq(lambda tau: tau - np.log((1 + tau) / alpha**2), 1, 20)
    rho2 = tau / planned
    half = sigma * np.sqrt(
        2 * (t * rho2 + 1) / (t**2 * rho2) * np.log(np.sqrt(t * rho2 + 1) / alpha)
    )
    found = width_in_errors(t, planned, 1 - alpha) * sigma / np.sqrt(t)
    assert found == pytest.approx(half, rel=1e-9)


@given(st.floats(0.5, 0.999), st.floats(0.05, 20))
def test_it_is_narrowest_where_it_was_planned(confidence, off):
    """The interval itself at 10,000 units, for plans of that and of another size."""
    planned = width_in_errors(10_000, 10_000, confidence)
    assert width_in_errors(10_000, 10_000 * off, confidence) >= planned - 1e-9


def test_it_is_wider_than_the_interval_of_a_single_look():
    widths = width_in_errors(np.array([1_000, 5_000, 10_000, 40_000]), 10_000)
    assert (widths > stats.norm.ppf(0.975)).all()


def test_before_the_least_units_nothing_is_known():
    assert width_in_errors(999, 10_000, least_units=1_000) == np.inf
    assert np.isfinite(width_in_errors(1_000, 10_000, least_units=1_000))
    assert width_in_errors(0, 10_000, least_units=0) == np.inf


@given(st.floats(0.5, 0.999), st.floats(0, 8), st.integers(1_000, 50_000))
def test_a_p_value_is_small_just_when_the_interval_leaves_out_0(confidence, distance, units):
    width = width_in_errors(units, 10_000, confidence)
    p_value = always_valid_p_values(distance, units, 10_000, confidence)
    assert (p_value < 1 - confidence) == (distance > width) or distance == pytest.approx(width)


def test_p_values_at_the_edges():
    assert always_valid_p_values(50.0, 999, 10_000) == 1, "too few units to know anything"
    assert always_valid_p_values(0.0, 5_000, 10_000) == 1
    at_width = always_valid_p_values(width_in_errors(5_000, 10_000), 5_000, 10_000)
    assert at_width == pytest.approx(0.05)
    assert np.isnan(always_valid_p_values(np.nan, 5_000, 10_000))


@pytest.mark.parametrize("returning", [False, True])
def test_looking_daily_does_not_alarm_more_than_it_says(returning):
    t, c = looks(1, returning), looks(2, returning)
    width = width_in_errors(t.count + c.count, 2 * USERS, least_units=200)
    effect = compare(t, c, width=width)
    alarms = ((effect.difference.low > 0) | (effect.difference.high < 0)).any(axis=1)
    peeked = (effect.p_value < 0.05).any(axis=1)
    assert alarms.mean() <= 0.065
    assert peeked.mean() > 0.13, "without it daily looks find something in every sixth A/A test"


def test_a_large_effect_is_found_before_the_end():
    t, c = looks(3, returning=False, lift=3.0), looks(4, returning=False)
    effect = compare(t, c, width=width_in_errors(t.count + c.count, 2 * USERS, least_units=200))
    found = effect.difference.low > 0
    assert found.any(axis=1).mean() > 0.95
    assert np.median(found.argmax(axis=1)) < DAYS - 3
