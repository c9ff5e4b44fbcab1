import numpy as np
import pytest

from recsys_kedro.experiments.reward_model import cross_fitted_means

REWARD = np.array([1.0, 0.0, 0.0, 1.0, 1.0])
SITUATION = np.array([0, 0, 0, 0, 1])
CHOICE = np.array([0, 0, 1, 0, 1])
FOLD = np.array([0, 0, 0, 1, 1])


def test_a_fold_is_seen_by_the_others():
    means_FSA = cross_fitted_means(REWARD, SITUATION, CHOICE, FOLD, (2, 2), strength=2)
    mean_outside_0, mean_outside_1 = 2 / 2, 1 / 3
    assert means_FSA.shape == (2, 2, 2)
    assert means_FSA[0, 0, 0] == pytest.approx((1 + 2 * mean_outside_0) / (1 + 2))
    assert means_FSA[1, 0, 0] == pytest.approx((1 + 0 + 2 * mean_outside_1) / (2 + 2))
    assert means_FSA[1, 1, 1] == pytest.approx(mean_outside_1), "never seen: the overall mean"


def test_a_reward_does_not_change_its_own_prediction():
    other = REWARD.copy()
    other[0] = 9.0
    one, two = (
        cross_fitted_means(r, SITUATION, CHOICE, FOLD, (2, 2), strength=1) for r in (REWARD, other)
    )
    assert (one[0] == two[0]).all()
    assert (one[1] != two[1]).any()
