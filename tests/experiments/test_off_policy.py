import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from recsys_kedro.experiments.off_policy import (
    LoggedChoices,
    OffPolicyOptions,
    doubly_robust,
    inverse_propensity,
    self_normalised,
)
from recsys_kedro.experiments.reward_model import cross_fitted_means
from recsys_kedro.experiments.simulated_bandit import simulate_bandit

OPTIONS = OffPolicyOptions()
LOG = LoggedChoices(
    reward=np.array([1.0, 0.0, 1.0, 0.0]),
    propensity=np.array([0.5, 0.25, 0.25, 0.5]),
    target=np.array([0.5, 0.5, 0.125, 0.5]),
)
WEIGHTS = np.array([1.0, 2.0, 0.5, 1.0])


def test_inverse_propensity():
    found = inverse_propensity(LOG, OPTIONS)
    values = WEIGHTS * LOG.reward
    assert found.value == (1 * 1 + 0.5 * 1) / 4
    assert found.error == pytest.approx(values.std(ddof=1) / np.sqrt(4))


def test_self_normalised():
    found = self_normalised(LOG, OPTIONS)
    ratio = (1 + 0.5) / (1 + 2 + 0.5 + 1)
    rest = WEIGHTS * (LOG.reward - ratio)
    assert found.value == pytest.approx(ratio)
    assert found.error == pytest.approx(rest.std(ddof=1) / np.sqrt(4) / WEIGHTS.mean())


def test_doubly_robust():
    predicted, expected = np.array([0.5, 0.1, 0.2, 0.3]), np.array([0.4, 0.4, 0.2, 0.2])
    found = doubly_robust(LOG, predicted, expected, OPTIONS)
    corrected = expected + WEIGHTS * (LOG.reward - predicted)
    assert found.value == pytest.approx(corrected.mean())
    assert found.error == pytest.approx(corrected.std(ddof=1) / np.sqrt(4))


def test_an_estimate_below_0_has_an_interval_too():
    found = doubly_robust(LOG, np.full(4, 5.0), np.zeros(4), OPTIONS)
    assert found.value < 0
    assert found.low < found.value < found.high
    assert found.value - found.low == pytest.approx(found.high - found.value)


def test_effective_numbers():
    found = inverse_propensity(LOG, OPTIONS)
    assert found.effective_sample == pytest.approx(4.5**2 / (1 + 4 + 0.25 + 1))
    of_rewards = 1.5**2 / (1 + 0.25)
    assert found.effective_rewards == min(of_rewards, found.effective_sample * 2 / 4)


def test_clipping():
    found = inverse_propensity(LOG, OffPolicyOptions(clip=0.75))
    assert found.value == (0.75 + 0.5) / 4
    assert found.clipped == pytest.approx(1 - (0.75 + 0.75 + 0.5 + 0.75) / 4.5)
    assert inverse_propensity(LOG, OPTIONS).clipped == 0


def test_the_logging_policy_itself_is_worth_what_it_got():
    log = LoggedChoices(LOG.reward, LOG.propensity, LOG.propensity)
    for estimate in (inverse_propensity, self_normalised):
        assert estimate(log, OPTIONS).value == 2 / 4


@given(st.integers(2, 5), st.integers(0, 1_000))
def test_choices_of_a_user_are_not_independent(copies, seed):
    """The same rows again, as the same users, add nothing to what is known."""
    rng = np.random.default_rng(seed)
    size = 60
    propensity, reward = rng.uniform(0.1, 1, size), rng.integers(0, 2, size).astype(float)
    target, unit = rng.uniform(0, 1, size), np.arange(size)
    once = inverse_propensity(LoggedChoices(reward, propensity, target, unit), OPTIONS)
    rows = np.tile(unit, copies)
    repeated = LoggedChoices(reward[rows], propensity[rows], target[rows], rows)
    again = inverse_propensity(repeated, OPTIONS)
    assert again.value == pytest.approx(once.value)
    assert again.error == pytest.approx(once.error)
    assert again.effective_rewards >= once.effective_rewards - 1e-9


@pytest.mark.parametrize(
    ("propensity", "target", "fault"),
    [
        ([0.5, 0.0], [0.5, 0.5], r"propensity: 1 values not in \(0, 1\] \(first: row 1, 0.0\)"),
        ([np.nan, 2.0], [0.5, 0.5], r"propensity: 2 values .* \(first: row 0, nan\)"),
        ([0.5, 0.5], [0.5, 1.5], r"target: 1 values not in \[0, 1\] \(first: row 1, 1.5\)"),
    ],
)
def test_probabilities_are_checked(propensity, target, fault):
    with pytest.raises(ValueError, match=fault):
        LoggedChoices(np.ones(2), np.array(propensity), np.array(target))


def test_without_any_reward_there_is_no_interval():
    log = LoggedChoices(np.zeros(4), LOG.propensity, LOG.target)
    found = inverse_propensity(log, OPTIONS)
    assert (found.value, found.effective_rewards) == (0, 0)
    assert np.isnan([found.low, found.high]).all()
    assert "0.0 rewards effectively count, 10 are needed" in found.doubts[-1]


def test_an_empty_log_cannot_answer():
    nothing = np.empty(0)
    found = self_normalised(LoggedChoices(nothing, nothing, nothing), OPTIONS)
    assert np.isnan([found.value, found.low]).all()
    assert found.doubts


def test_a_log_that_never_shows_what_the_target_chooses():
    rng = np.random.default_rng(0)
    shown = rng.integers(0, 5, 4_000)  # of ten products, evenly
    log = LoggedChoices(
        reward=(rng.random(4_000) < 0.2).astype(float),
        propensity=np.full(4_000, 1 / 5),
        target=np.where(shown == 0, 0.3, 0.1),  # 0.3 of it is on products never shown
    )
    (doubt,) = inverse_propensity(log, OPTIONS).doubts
    assert "weights have mean 0.7" in doubt


def test_rounded_propensities_are_no_reason_to_doubt():
    propensity = np.full(100_000, 0.2512)
    log = LoggedChoices(np.ones(100_000), propensity, np.full(100_000, 0.25))
    assert inverse_propensity(log, OPTIONS).doubts == ()


def test_a_greedy_target_that_the_log_hardly_meets():
    """All clicks that came weigh the same, so only the few effective choices tell."""
    rng = np.random.default_rng(0)
    size, products = 8_000, 400
    shown = rng.integers(0, products, size)
    log = LoggedChoices(
        reward=(rng.random(size) < 0.005).astype(float),
        propensity=np.full(size, 1 / products),
        target=np.where(shown == 0, 0.9, 0.1 / (products - 1)),
    )
    found = inverse_propensity(log, OPTIONS)
    assert found.effective_sample < 50
    assert found.effective_rewards < 1
    assert found.doubts


def test_a_good_log_raises_no_doubt_and_its_interval_is_around_the_value():
    bandit = simulate_bandit(np.random.default_rng(0), 2, 5, click=0.1, sharpness=0.5)
    log, _, _ = bandit.log(np.random.default_rng(1), 3_000)
    found = inverse_propensity(log, OPTIONS)
    assert found.doubts == ()
    assert 0 < found.low < found.value < found.high
    student = stats.t.ppf(0.975, found.effective_rewards - 1)
    factor = np.exp(student * found.error / found.value)
    assert (found.value / found.low, found.high / found.value) == pytest.approx((factor, factor))


@pytest.mark.parametrize(("rows", "click"), [(1_000, 0.06), (4_000, 0.011)])
def test_known_truth(rows, click):
    """Unbiased, and the intervals cover, also at some 45 clicks."""
    replications = 200
    rng = np.random.default_rng(0)
    bandit = simulate_bandit(rng, 3, 12, click, sharpness=0.8)
    estimates = {"ips": [], "snips": [], "dr": []}
    for _ in range(replications):
        log, situation, choice = bandit.log(rng, rows)
        fold = rng.integers(0, 2, rows)
        q_FSA = cross_fitted_means(log.reward, situation, choice, fold, bandit.click.shape, 20)
        expected = (bandit.target * q_FSA).sum(axis=2)[fold, situation]
        predicted = q_FSA[fold, situation, choice]
        estimates["ips"].append(inverse_propensity(log, OPTIONS))
        estimates["snips"].append(self_normalised(log, OPTIONS))
        estimates["dr"].append(doubly_robust(log, predicted, expected, OPTIONS))
    for found in estimates.values():
        values = np.array([estimate.value for estimate in found])
        assert abs(values.mean() - bandit.value) < 3 * values.std() / np.sqrt(replications)
        missed = sum(not e.low <= bandit.value <= e.high for e in found)
        assert missed <= stats.binom.ppf(0.999, replications, 0.05)


def test_clipping_is_steadier_and_too_low():
    rng = np.random.default_rng(0)
    bandit = simulate_bandit(rng, 3, 12, click=0.1, sharpness=2.0)
    logs = [bandit.log(rng, 1_000)[0] for _ in range(200)]
    plain, clipped = (
        np.array([inverse_propensity(log, OffPolicyOptions(clip=clip)).value for log in logs])
        for clip in (None, 2.0)
    )
    assert clipped.std() < plain.std()
    assert clipped.mean() < bandit.value - 3 * clipped.std() / np.sqrt(200)
