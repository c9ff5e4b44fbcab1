"""A plain reward model for doubly robust estimates: shrunken means by situation and choice."""

import numpy as np
from numpy.typing import NDArray


def cross_fitted_means(
    reward: NDArray[np.float64],
    situation: NDArray[np.int64],
    choice: NDArray[np.int64],
    fold: NDArray[np.int64],
    shape: tuple[int, int],
    strength: float,
) -> NDArray[np.float64]:
    """Mean reward by situation (S) and choice (A), as seen from outside each of F folds.

    ``(sum of rewards + strength * mean) / (count + strength)`` over all other folds, so that no
    prediction has seen the reward it is compared with. Chernozhukov et al. (2018),
    "Double/debiased machine learning".

    Args:
        reward: (N,) of the logged choices.
        situation: (N,) index of the situation, e.g. the position.
        choice: (N,) index of what was shown.
        fold: (N,) 0 to F - 1; all choices of a user in one.
        shape: S and A.
        strength: how many choices the overall mean counts for.

    Returns:
        (F, S, A) predictions.
    """
    folds = int(fold.max()) + 1
    cell = np.ravel_multi_index((fold, situation, choice), (folds, *shape))
    size = folds * shape[0] * shape[1]
    sums_FSA = np.bincount(cell, weights=reward, minlength=size).reshape(folds, *shape)
    counts_FSA = np.bincount(cell, minlength=size).reshape(folds, *shape)
    others_sum_FSA = sums_FSA.sum(axis=0) - sums_FSA
    others_FSA = counts_FSA.sum(axis=0) - counts_FSA
    axes = (1, 2)
    mean_F = others_sum_FSA.sum(axis=axes) / np.maximum(others_FSA.sum(axis=axes), 1)
    prior_F11 = strength * mean_F[:, np.newaxis, np.newaxis]
    means_FSA: NDArray[np.float64] = (others_sum_FSA + prior_F11) / (others_FSA + strength)
    return means_FSA
