"""P-values when many metrics, segments or variants are looked at together."""

import numpy as np
from numpy.typing import NDArray
from scipy import stats


def holm(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Adjusted (M,) p-values that bound the chance of any false finding; NaN stays NaN.

    ``max_{j <= i} min(1, (m - j + 1) p_j)`` over the ascending p-values. Holm (1979).
    """
    adjusted = np.full(p_values.shape, np.nan)
    known = np.flatnonzero(~np.isnan(p_values))
    order = known[np.argsort(p_values[known], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.maximum.accumulate(np.minimum(factors * p_values[order], 1.0))
    return adjusted


def benjamini_hochberg(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Adjusted (M,) p-values that bound the share of false findings; NaN stays NaN.

    Benjamini and Hochberg (1995); valid for independent or positively dependent metrics.
    """
    adjusted = np.full(p_values.shape, np.nan)
    known = ~np.isnan(p_values)
    adjusted[known] = stats.false_discovery_control(p_values[known], method="bh")
    return adjusted
