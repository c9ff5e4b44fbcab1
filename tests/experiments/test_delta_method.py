import numpy as np
import pytest

from recsys_kedro.experiments.delta_method import cuped_slope, sampling_variance, values_of
from recsys_kedro.experiments.moments import moments_of_units


def draws(size, seed=0, shape=()):
    rng = np.random.default_rng(seed)
    past = rng.gamma(2, size=(*shape, size))
    return past, past + rng.normal(size=(*shape, size))


def test_the_variance_of_a_mean_is_that_of_the_sample_over_its_size():
    values = np.array([1.0, 2.0, 6.0])
    of = values_of(moments_of_units(values))
    assert of.now == 9 / 3
    assert of.variance == pytest.approx(((1 - 3) ** 2 + (2 - 3) ** 2 + (6 - 3) ** 2) / 2 / 3)


def test_the_variance_of_a_ratio_is_that_of_its_linearised_units():
    clicks, shown = np.array([1.0, 2.0, 6.0]), np.array([10.0, 30.0, 20.0])
    of = values_of(moments_of_units(clicks, shown))
    ratio = (1 + 2 + 6) / (10 + 30 + 20)
    rest = clicks - ratio * shown
    assert of.now == ratio
    assert of.variance == pytest.approx(rest.var(ddof=1) / 3 / shown.mean() ** 2)


def test_the_variance_of_a_ratio_is_what_repeated_samples_show():
    rng = np.random.default_rng(1)
    shown = 1.0 + rng.poisson(5, (4_000, 200))
    clicks = rng.binomial(shown.astype(int), rng.beta(2, 20, shown.shape)).astype(float)
    of = values_of(moments_of_units(clicks, shown))
    assert np.mean(of.variance) == pytest.approx(np.var(of.now), rel=0.06)


def test_a_past_that_nobody_has_is_left_out():
    of = values_of(moments_of_units(np.array([1.0, 2.0]), pre_denominator=np.zeros(2)))
    assert (of.before, of.variance_before, of.covariance) == (0, 0, 0)


def test_the_slope_is_that_of_the_regression_on_the_past():
    past, now = draws(500)
    moments = moments_of_units(now, pre_numerator=past)
    slope = np.cov(now, past)[0, 1] / past.var(ddof=1)
    assert cuped_slope(moments, moments) == pytest.approx(slope)


def test_without_a_past_the_slope_is_0():
    moments = moments_of_units(np.array([1.0, 2.0, 4.0]))
    assert cuped_slope(moments, moments) == 0
    assert sampling_variance(moments, cuped=True) == sampling_variance(moments, cuped=False)


def test_no_other_slope_has_less_variance():
    (past, now), (past_c, now_c) = draws(300, seed=1), draws(200, seed=2)
    one, other = (
        moments_of_units(n, pre_numerator=p) for n, p in ((now, past), (now_c, 3 * past_c))
    )
    best = cuped_slope(one, other)

    def variance(slope):
        return sum(values_of(m).adjusted_variance(np.asarray(slope)) for m in (one, other))

    assert variance(best) < min(variance(best - 0.01), variance(best + 0.01))


def test_what_the_past_explains_is_taken_out():
    past, now = draws(20_000)
    moments = moments_of_units(now, pre_numerator=past)
    left = sampling_variance(moments, cuped=True) / sampling_variance(moments, cuped=False)
    assert left == pytest.approx(1 - np.corrcoef(past, now)[0, 1] ** 2)


def test_a_past_that_says_all_leaves_no_variance():
    past = np.array([0.1, 0.2, 0.7])
    left = sampling_variance(moments_of_units(past, pre_numerator=past), cuped=True)
    assert left == pytest.approx(0, abs=1e-16)
    assert left >= 0
