import numpy as np
import pytest

from recsys_kedro.experiments.simulated_units import (
    CTR,
    REVENUE,
    simulate_looks,
    simulate_units,
)


@pytest.fixture(scope="module")
def units():
    return simulate_units(np.random.default_rng(0), 20, 10_000, lift=0.5)


def test_the_truth_is_what_many_users_show(units):
    assert units.pre_clicks.sum() / units.pre_impressions.sum() == pytest.approx(CTR, rel=0.01)
    assert units.pre_revenue.mean() == pytest.approx(REVENUE, rel=0.04)


def test_a_lift_is_planted_in_the_experiment_only(units):
    assert units.clicks.sum() / units.impressions.sum() == pytest.approx(1.5 * CTR, rel=0.01)
    assert units.revenue.mean() == pytest.approx(1.5 * REVENUE, rel=0.04)


def test_revenue_is_mostly_zeros_with_a_long_tail(units):
    spent = units.pre_revenue[units.pre_revenue > 0]
    assert len(spent) / units.pre_revenue.size == pytest.approx(0.04, abs=0.005)
    assert spent.mean() > 1.3 * np.median(spent)


def test_impressions_and_clicks_of_a_user_go_together_and_last(units):
    assert np.corrcoef(units.impressions[0], units.clicks[0])[0, 1] > 0.5
    assert np.corrcoef(units.impressions[0], units.pre_impressions[0])[0, 1] > 0.4


@pytest.mark.parametrize("returning", [False, True])
def test_looks_see_more_users_each_day(returning):
    looks = simulate_looks(np.random.default_rng(0), 3, 100, 5, returning)
    assert looks.count.tolist() == [[20, 40, 60, 80, 100]] * 3
    assert looks.mean.shape == (3, 5, 4)
    totals = looks.mean[..., 0] * looks.count
    assert (np.diff(totals, axis=1) > -1e-9).all()
    variance = looks.covariance[..., 0, 0]
    assert (variance[totals > 0] > 0).all()
