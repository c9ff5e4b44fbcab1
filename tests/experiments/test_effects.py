import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from recsys_kedro.experiments.delta_method import cuped_slope
from recsys_kedro.experiments.effects import (
    DAYS_PER_MONTH,
    Estimate,
    compare,
    cuped_saving,
    monthly_effect,
)
from recsys_kedro.experiments.moments import moments_of_units
from recsys_kedro.experiments.simulated_units import CTR, REVENUE, simulate_units

REPLICATIONS = 200
LOW, HIGH = stats.binom.interval(0.998, REPLICATIONS, 0.05)
NEW, OLD = np.array([4.0, 6.0, 9.0, 5.0]), np.array([3.0, 4.0, 2.0])


def units(lift=0.0, seed=0, users=2_000):
    return simulate_units(np.random.default_rng(seed), REPLICATIONS, users, lift)


def test_the_plain_comparison_is_welch():
    effect = compare(moments_of_units(NEW), moments_of_units(OLD))
    welch = stats.ttest_ind(NEW, OLD, equal_var=False)
    interval = welch.confidence_interval(0.95)
    assert effect.difference.value == 24 / 4 - 9 / 3
    assert effect.relative.value == pytest.approx((6 - 3) / 3)
    assert effect.p_value == pytest.approx(welch.pvalue)
    assert effect.difference[2:] == pytest.approx((interval.low, interval.high))


def test_the_error_of_the_lift_is_that_of_the_delta_method():
    effect = compare(moments_of_units(NEW), moments_of_units(OLD))
    variance_t, variance_c = NEW.var(ddof=1) / 4, OLD.var(ddof=1) / 3
    expected = np.sqrt(variance_t / 3**2 + 6**2 * variance_c / 3**4)
    assert effect.relative.error == pytest.approx(expected)


@given(st.integers(0, 10_000), st.floats(0, 1.5))
def test_both_intervals_agree_on_whether_there_is_a_difference(seed, shift):
    rng = np.random.default_rng(seed)
    new, old = rng.gamma(1, size=30) + shift, rng.gamma(1, size=30) + 1
    past = rng.gamma(1, size=30)
    t, c = (moments_of_units(v, pre_numerator=past + v) for v in (new, old))
    effect = compare(t, c, cuped_slope(t, c))
    if np.isfinite(effect.relative.low):
        assert (effect.relative.low > 0) == (effect.difference.low > 0)
        assert (effect.relative.high < 0) == (effect.difference.high < 0)
    assert effect.relative.low <= effect.relative.value <= effect.relative.high


@pytest.mark.parametrize("end", ["low", "high"])
def test_the_ends_of_the_lift_are_where_the_difference_to_it_is_as_far_as_the_width(end):
    """``difference - r base``, written out per user, with CUPED in both."""
    rng = np.random.default_rng(0)
    past_t, past_c = rng.gamma(2, size=60), rng.gamma(2, size=40)
    now_t, now_c = past_t + rng.gamma(2, size=60), past_c + rng.gamma(1, size=40)
    t, c = (
        moments_of_units(now_t, pre_numerator=past_t),
        moments_of_units(now_c, pre_numerator=past_c),
    )
    slope, width = 0.8, 2.0
    r = getattr(compare(t, c, slope, width=np.array(width)).relative, end)
    pull = slope * 60 / 100
    of_t = now_t - slope * past_t - r * pull * past_t
    of_c = -(now_c - slope * past_c) - r * (now_c - pull * past_c)
    error = np.sqrt(of_t.var(ddof=1) / 60 + of_c.var(ddof=1) / 40)
    assert abs(of_t.mean() + of_c.mean()) == pytest.approx(width * error)


def test_a_control_near_0_says_nothing_of_the_lift():
    t, c = moments_of_units(NEW), moments_of_units(np.array([0.0, 0.0, 0.1]))
    effect = compare(t, c)
    assert np.isinf(effect.relative[2:]).all()
    assert np.isfinite(effect.difference).all()


@pytest.mark.parametrize("control", [[0.0, 0.0], [-1.0, -2.0]])
def test_there_is_no_lift_over_a_control_that_is_not_positive(control):
    effect = compare(moments_of_units(NEW), moments_of_units(np.array(control)))
    assert np.isnan(effect.relative).all()
    assert effect.difference.value == 6 - np.mean(control)


def test_a_metric_without_denominators_is_nan():
    t, c = (moments_of_units(np.zeros(3), np.zeros(3)) for _ in range(2))
    effect = compare(t, c)
    assert np.isnan([*effect.difference, *effect.relative, effect.p_value]).all()


def test_what_never_happens_in_either_is_known():
    """Not a single failure: the guardrail is safe and not unknown."""
    t, c = (moments_of_units(np.zeros(size), np.ones(size)) for size in (50, 60))
    assert compare(t, c).difference == (0, 0, 0, 0)


def test_confidence_widens_the_interval():
    t, c = moments_of_units(NEW), moments_of_units(OLD)
    wide, narrow = (compare(t, c, confidence=level).difference for level in (0.99, 0.8))
    assert wide.low < narrow.low < narrow.high < wide.high


def test_a_width_takes_the_place_of_the_quantile():
    t, c = moments_of_units(NEW), moments_of_units(OLD)
    effect = compare(t, c, width=np.array(2.0))
    assert effect.difference.high == effect.difference.value + 2 * effect.difference.error
    nothing = compare(t, c, width=np.array(np.inf))
    assert (nothing.difference.low, nothing.relative.high) == (-np.inf, np.inf)


def test_the_difference_of_differences():
    early_t, late_t = np.array([1.0, 2.0, 3.0]), np.array([4.0, 4.0, 7.0])
    early_c, late_c = np.array([1.0, 1.0]), np.array([2.0, 3.0])
    t = moments_of_units(late_t, pre_numerator=early_t)
    c = moments_of_units(late_c, pre_numerator=early_c)
    found = compare(t, c, slope=1.0)
    plain = compare(moments_of_units(late_t - early_t), moments_of_units(late_c - early_c))
    assert found.difference == pytest.approx(plain.difference)
    assert found.p_value == pytest.approx(plain.p_value)


def test_cuped_takes_out_an_unlucky_split():
    rng = np.random.default_rng(0)
    past_t, past_c = rng.normal(5.5, 1, 400), rng.normal(5, 1, 400)
    t, c = (
        moments_of_units(p + rng.normal(0, 0.1, 400), pre_numerator=p) for p in (past_t, past_c)
    )
    plain, adjusted = compare(t, c), compare(t, c, cuped_slope(t, c))
    assert plain.difference.value > 0.4
    assert abs(adjusted.difference.value) < 0.02
    assert cuped_saving(plain, adjusted) > 0.9
    assert adjusted.control > plain.control, "both are moved to the common past"
    assert adjusted.treatment < plain.treatment


def test_money_a_month():
    per_user = Estimate(*map(np.array, (2.0, 0.5, 1.0, 3.0)))
    found = monthly_effect(per_user, units=1_000, days=14, traffic_share=0.5)
    factor = 1_000 / 0.5 / 14 * DAYS_PER_MONTH
    assert found == pytest.approx((2 * factor, 0.5 * factor, 1 * factor, 3 * factor))


@pytest.mark.parametrize("cuped", [False, True])
@pytest.mark.parametrize("metric", ["ctr", "revenue_per_user"])
def test_without_an_effect_the_alarm_is_as_rare_as_it_says(metric, cuped):
    t, c = (getattr(units(seed=seed), metric)() for seed in (1, 2))
    effect = compare(t, c, cuped_slope(t, c) if cuped else 0.0)
    assert LOW <= (effect.p_value < 0.05).sum() <= HIGH


@pytest.mark.parametrize("cuped", [False, True])
@pytest.mark.parametrize(("metric", "base"), [("ctr", CTR), ("revenue_per_user", REVENUE)])
def test_the_intervals_cover_a_planted_lift(metric, base, cuped):
    lift = 0.3
    t, c = getattr(units(lift, seed=3), metric)(), getattr(units(seed=4), metric)()
    effect = compare(t, c, cuped_slope(t, c) if cuped else 0.0)
    for estimate, truth in ((effect.difference, lift * base), (effect.relative, lift)):
        missed = (truth < estimate.low) | (truth > estimate.high)
        assert LOW <= missed.sum() <= HIGH
    assert np.mean(effect.difference.value) == pytest.approx(lift * base, rel=0.15)


def test_users_are_the_units_and_not_impressions():
    """Taking impressions as independent would alarm far too often."""
    t, c = units(seed=5), units(seed=6)
    shown = [u.impressions.sum(axis=1) for u in (t, c)]
    rates = [u.clicks.sum(axis=1) / n for u, n in zip((t, c), shown, strict=True)]
    variance = sum(r * (1 - r) / n for r, n in zip(rates, shown, strict=True))
    naive = np.abs(rates[0] - rates[1]) > 1.96 * np.sqrt(variance)
    assert naive.sum() > 2 * HIGH


def test_cuped_saves_units_where_the_past_tells_something():
    t, c = (units(seed=seed).ctr() for seed in (7, 8))
    saving = cuped_saving(compare(t, c), compare(t, c, cuped_slope(t, c)))
    assert np.mean(saving) > 0.1
