"""Lists that are not ten times the same: relevance traded against similarity within the list.

N candidates, D dimensions of a product's vector, k places, B candidates of the pool. Vectors
have unit length, so that inner products are cosines, and scores are finite. Scores compare
within one list only, so they count in standard deviations of the pool.
"""

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Positions = NDArray[np.int64]

POOL = 100  # so many of the best are considered, and twice the list where that is more
VANISHED = 1e-10  # a smaller share of a vector outside the span of those picked is rounding
LEAST_RELEVANCE = 0.01  # at full strength scores break ties, so the best opens the list
MOST_RELEVANCE = 1 - 1e-9  # at the least strength alpha is finite


def diversify(score_N: Floats, vectors_ND: Floats, k: int, strength: float) -> Positions:
    """(min(k, N),) positions of a relevant and diverse list, first place first.

    The greedy most probable list of a determinantal point process whose log-probability is
    ``theta sum_i z_i + (1 - theta) log det S`` with z the standardised score, S the similarity
    and ``theta = 1 - strength``; that is the kernel with quality ``exp(alpha z)``,
    ``alpha = theta / (2 (1 - theta))``. Chen, Zhang and Zhou (2018), NeurIPS.

    Args:
        score_N: higher is better.
        vectors_ND: of unit length.
        k: how many places.
        strength: from 0, exactly by falling score, equal ones in their order, to 1, where the
            score hardly counts.
    """
    pool_B = _pool(score_N, k)
    if strength == 0:
        return pool_B[:k]
    theta = min(max(1 - strength, LEAST_RELEVANCE), MOST_RELEVANCE)
    alpha = theta / (2 * (1 - theta))
    return pool_B[dpp_greedy(alpha * standardised(score_N[pool_B]), vectors_ND[pool_B], k)]


def dpp_greedy(log_quality_N: Floats, vectors_ND: Floats, k: int) -> Positions:
    """(min(k, N),) positions of the greedy most probable set, in the order of picking.

    Each pick maximises ``log det L`` of the set so far, ``L_ij = q_i q_j S_ij`` with the
    similarity ``S_ij = (1 + cos_ij) / 2``, which is an inner product of the vectors with one
    more, constant component. The Cholesky factor grows by a row per pick (Chen, Zhang and Zhou,
    2018, NeurIPS, algorithm 1), in O(N k (D + k)); no N x N matrix is made. The factor is that
    of S, and the quality joins in logarithms, where it cannot overflow.

    S has a rank of D + 1 at most, less with equal vectors. When nothing is left outside the
    span of those picked, the rest follows by quality, equal ones in their order.

    Args:
        log_quality_N: natural logarithm of the quality q.
        vectors_ND: of unit length.
        k: how many.
    """
    count, size = vectors_ND.shape
    k = min(k, count)
    rows_MN = np.empty((size + 1 + k, count))  # the vectors as columns; below, the factor
    rows_MN[:size] = vectors_ND.T
    rows_MN[size] = 1.0
    rows_MN[: size + 1] *= math.sqrt(0.5)
    residual_N = np.square(rows_MN[: size + 1]).sum(axis=0)
    log_squared_N = 2.0 * log_quality_N
    picked_K = np.empty(k, np.int64)
    with np.errstate(divide="ignore"):  # log(0) is -inf: never the best
        for place, row in enumerate(range(size + 1, size + 1 + k)):
            gain_N = log_squared_N + np.log(residual_N)
            best = int(gain_N.argmax())
            if gain_N[best] == -np.inf:
                return _filled(picked_K, place, log_quality_N)
            picked_K[place] = best
            # The new row is (S_best,i - <factor_best, factor_i>) / sqrt(residual_best).
            weight_M = rows_MN[:row, best] / math.sqrt(residual_N[best])
            weight_M[size + 1 :] *= -1.0
            np.dot(weight_M, rows_MN[:row], out=rows_MN[row])
            residual_N -= np.square(rows_MN[row])
            residual_N[residual_N < VANISHED] = 0.0
            residual_N[best] = 0.0  # whatever the rounding: never picked again
    return picked_K


def mmr(score_N: Floats, vectors_ND: Floats, k: int, strength: float) -> Positions:
    """(min(k, N),) positions by maximal marginal relevance, first place first.

    Each place goes to the candidate with the highest
    ``(1 - strength) z_i - strength max_{j in list} cos_ij``, z the standardised score and the
    maximum 0 for the first place. Carbonell and Goldstein (1998), SIGIR, with
    ``lambda = 1 - strength``. Unlike :func:`diversify` it sees only the nearest of the list.

    Args:
        score_N: higher is better.
        vectors_ND: of unit length.
        k: how many places.
        strength: from 0, exactly by falling score, to 1, by the least similarity alone after
            the best score.
    """
    pool_B = _pool(score_N, k)
    vectors_BD = vectors_ND[pool_B]
    relevance_B = (1 - strength) * standardised(score_N[pool_B])
    nearest_B = np.full(len(pool_B), -np.inf)
    value_B = relevance_B.copy()
    picked_K = np.empty(min(k, len(pool_B)), np.int64)
    for place in range(len(picked_K)):
        best = int(value_B.argmax())
        picked_K[place] = best
        relevance_B[best] = -np.inf
        np.maximum(nearest_B, vectors_BD @ vectors_BD[best], out=nearest_B)
        value_B = relevance_B - strength * nearest_B
    return pool_B[picked_K]


def deviation(score_N: Floats) -> float:
    """The standard deviation of a list's scores; exactly 0 where all are equal, or none is."""
    if len(score_N) == 0 or score_N.max() == score_N.min():
        return 0.0
    return float(np.std(score_N, dtype=np.float64))


def standardised(score_N: Floats) -> NDArray[np.float64]:
    """(N,) with mean 0 and standard deviation 1, or all equal where the scores are."""
    mean = score_N.sum(dtype=np.float64) / max(len(score_N), 1)
    centred_N: NDArray[np.float64] = score_N - mean
    return centred_N / (deviation(score_N) or 1.0)


def _pool(score_N: Floats, k: int) -> Positions:
    """(B,) the positions of the best, best first; equal ones in their order."""
    return np.argsort(-score_N, kind="stable")[: max(POOL, 2 * k)]


def _filled(picked_K: Positions, places: int, log_quality_N: Floats) -> Positions:
    """``picked_K`` with all but the first ``places`` taken by the best of the rest."""
    rest = np.setdiff1d(np.arange(len(log_quality_N)), picked_K[:places])
    best_first = rest[np.argsort(-log_quality_N[rest], kind="stable")]
    picked_K[places:] = best_first[: len(picked_K) - places]
    return picked_K
