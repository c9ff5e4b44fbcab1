import numpy as np
import pytest

from recsys_kedro.experiments.simulated_bandit import simulate_bandit


def test_the_log_follows_its_policy():
    bandit = simulate_bandit(np.random.default_rng(0), 2, 3, click=0.3, sharpness=1.0)
    log, situation, choice = bandit.log(np.random.default_rng(1), 60_000)
    for row in range(2):
        mine = situation == row
        shares = np.bincount(choice[mine], minlength=3) / mine.sum()
        assert shares == pytest.approx(bandit.logging[row], abs=0.01)
    assert (log.propensity == bandit.logging[situation, choice]).all()
    assert log.reward.mean() == pytest.approx(
        (bandit.logging * bandit.click).sum(axis=1).mean(), abs=0.01
    )


def test_policies_are_probabilities_and_a_sharp_target_is_better():
    uniform, sharp = (
        simulate_bandit(np.random.default_rng(0), 4, 6, click=0.1, sharpness=sharpness)
        for sharpness in (0.0, 3.0)
    )
    for policy in (sharp.logging, sharp.target):
        assert policy.sum(axis=1) == pytest.approx(1)
    assert uniform.target == pytest.approx(1 / 6)
    assert sharp.value > 1.3 * uniform.value
