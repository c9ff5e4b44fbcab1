"""How sure a mean over users is: the bootstrap, over users."""

import math
from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

RESAMPLES: Final = 1_000
CONFIDENCE: Final = 0.95
_BLOCK_CELLS: Final = 10_000_000


class Interval(NamedTuple):
    """A figure with its confidence interval; NaN where the data does not give it."""

    value: float
    low: float
    high: float


def bootstrap_intervals(
    values_UM: NDArray[np.float64],
    seed: int,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
) -> list[Interval]:
    """The mean of each column over users, with a percentile bootstrap interval.

    Users are drawn with replacement, all columns with the same draws. A NaN is a user to
    whom the figure does not apply: it is left out of the mean. Efron and Tibshirani (1993),
    chapter 13.

    Args:
        values_UM: (U, M) one row per user, one column per figure.
        seed: the same seed gives the same intervals.
        resamples: how many times the users are drawn.
        confidence: share of the resampled means inside the interval.

    >>> bootstrap_intervals(np.array([[1.0], [1.0], [1.0]]), seed=0)
    [Interval(value=1.0, low=1.0, high=1.0)]
    """
    if not len(values_UM):
        return [Interval(math.nan, math.nan, math.nan)] * values_UM.shape[1]
    present_UM = np.isfinite(values_UM).astype(np.float64)
    filled_UM = np.where(present_UM > 0, values_UM, 0.0)
    with np.errstate(invalid="ignore"):  # 0 / 0 is NaN: a figure that applies to nobody
        means_M = filled_UM.sum(axis=0) / present_UM.sum(axis=0)
        blocks = [
            (weights_RU @ filled_UM) / (weights_RU @ present_UM)
            for weights_RU in _resampled_weights(len(values_UM), resamples, seed)
        ]
    tail = (1 - confidence) / 2
    low_M, high_M = _quantiles(np.concatenate(blocks), (tail, 1 - tail))
    return [
        Interval(float(value), float(low), float(high))
        for value, low, high in zip(means_M, low_M, high_M, strict=True)
    ]


def paired_interval(
    differences: NDArray[np.float64],
    seed: int,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
) -> Interval:
    """The mean of (U,) differences user by user, e.g. one model's NDCG minus another's.

    Pairing takes out how hard a user is to predict, so it sees smaller differences than
    two separate intervals do. The sign counts as known where the interval leaves out zero.
    """
    return bootstrap_intervals(differences[:, np.newaxis], seed, resamples, confidence)[0]


def _resampled_weights(users: int, resamples: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """How often each user is drawn, (R, users) at a time so that memory stays bounded."""
    generator = np.random.default_rng(seed)
    chances = np.full(users, 1.0 / users)
    block = max(1, _BLOCK_CELLS // users)
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        yield generator.multinomial(users, chances, size=size).astype(np.float64)


def _quantiles(
    resampled_RM: NDArray[np.float64], shares: tuple[float, float]
) -> NDArray[np.float64]:
    """(2, M); a resample in which a figure applied to nobody is left out."""
    if np.isfinite(resampled_RM).all():
        return np.quantile(resampled_RM, shares, axis=0)
    bounds = np.full((2, resampled_RM.shape[1]), np.nan)
    defined_M = np.isfinite(resampled_RM).any(axis=0)
    bounds[:, defined_M] = np.nanquantile(resampled_RM[:, defined_M], shares, axis=0)
    return bounds
