"""Sufficient statistics: all that the tests need to know of a variant's units.

Four numbers per unit, in this order: numerator and denominator of the metric, and the same two
from before the experiment. A mean per unit is a ratio whose denominator is 1 for each unit.
Arrays may have leading axes "..." for several metrics, segments, days or simulated
experiments, which are then computed at once.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

PARTS: Final = ("numerator", "denominator", "pre_numerator", "pre_denominator")
PAIRS: Final = tuple((i, j) for i in range(len(PARTS)) for j in range(i, len(PARTS)))
"""The distinct products of two parts: what has to be summed beside the parts themselves."""


@dataclass(frozen=True)
class Moments:
    """Units of one variant.

    Attributes:
        count: (...) number of units.
        mean: (..., 4) of the parts over units.
        covariance: (..., 4, 4) of the parts over units, unbiased; NaN for fewer than 2 units.
    """

    count: NDArray[np.float64]
    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]


def moments_of_sums(
    count: NDArray[np.float64], sums: NDArray[np.float64], products: NDArray[np.float64]
) -> Moments:
    """From what an engine sums.

    Args:
        count: (...) units.
        sums: (..., 4) of each part.
        products: (..., 10) of each pair of parts, in the order of :data:`PAIRS`.
    """
    rows, columns = np.array(PAIRS).T
    raw = np.empty((*sums.shape, len(PARTS)))
    raw[..., rows, columns] = products
    raw[..., columns, rows] = products
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = sums / count[..., np.newaxis]
        centred = raw - sums[..., :, np.newaxis] * mean[..., np.newaxis, :]
        covariance = centred / (count[..., np.newaxis, np.newaxis] - 1)
    return Moments(count, mean, covariance)


def moments_of_units(
    numerator: NDArray[np.float64],
    denominator: NDArray[np.float64] | None = None,
    pre_numerator: NDArray[np.float64] | None = None,
    pre_denominator: NDArray[np.float64] | None = None,
) -> Moments:
    """From (..., N) arrays over N units; a missing denominator is 1, a missing past 0."""
    one, none = np.ones_like(numerator), np.zeros_like(numerator)
    parts = [
        numerator,
        one if denominator is None else denominator,
        none if pre_numerator is None else pre_numerator,
        one if pre_denominator is None else pre_denominator,
    ]
    sums = np.stack([part.sum(axis=-1) for part in parts], axis=-1)
    products = np.stack([np.einsum("...n,...n", parts[i], parts[j]) for i, j in PAIRS], axis=-1)
    return moments_of_sums(one.sum(axis=-1), sums, products)
