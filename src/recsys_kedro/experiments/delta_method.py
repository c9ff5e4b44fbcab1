"""A metric's value in a variant with its sampling variance: means, ratios and their past.

With y the sum of numerators divided by the sum of denominators and x the same from before the
experiment, variances and covariance of y and x follow from the units' moments by the delta
method; for a mean that is the variance divided by the number of units.

Deng, Knoblich and Lu (2018), "Applying the Delta Method in Metric Analytics"; with the past as
covariate Deng, Xu, Kohavi and Walker (2013), "Improving the Sensitivity of Online Controlled
Experiments by Utilizing Pre-Experiment Data" (CUPED).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys_kedro.experiments.moments import Moments


class VariantValues(NamedTuple):
    """A variant's values: (...) now and before, (...) sampling variances and covariance."""

    now: NDArray[np.float64]
    before: NDArray[np.float64]
    variance: NDArray[np.float64]
    variance_before: NDArray[np.float64]
    covariance: NDArray[np.float64]

    def adjusted_variance(self, slope: NDArray[np.float64]) -> NDArray[np.float64]:
        """(...) variance of ``now - slope before``; rounding may not make it negative."""
        variance = self.variance - 2 * slope * self.covariance + slope**2 * self.variance_before
        return np.maximum(variance, 0.0)


def values_of(moments: Moments) -> VariantValues:
    """Value and past of a variant; a past that nobody has counts as a known 0."""
    now, slopes_now = _ratio(moments.mean[..., 0], moments.mean[..., 1])
    before, slopes_before = _ratio(moments.mean[..., 2], moments.mean[..., 3])
    with np.errstate(divide="ignore", invalid="ignore"):
        covariance = moments.covariance / moments.count[..., np.newaxis, np.newaxis]

    def between(
        one: NDArray[np.float64], first: slice, other: NDArray[np.float64], second: slice
    ) -> NDArray[np.float64]:
        block = covariance[..., first, second]
        product: NDArray[np.float64] = np.einsum("...i,...ij,...j", one, block, other)
        return product

    new, old = slice(0, 2), slice(2, 4)
    past = np.isfinite(before)  # without any past there is nothing to adjust with
    return VariantValues(
        now,
        np.where(past, before, 0.0),
        between(slopes_now, new, slopes_now, new),
        np.where(past, between(slopes_before, old, slopes_before, old), 0.0),
        np.where(past, between(slopes_now, new, slopes_before, old), 0.0),
    )


def cuped_slope(treatment: Moments, control: Moments) -> NDArray[np.float64]:
    """The slope that makes the variance of the effect least; 0 without a past.

    ``theta = (cov_t + cov_c) / (var_t + var_c)`` of the sampling distributions of y and x.
    """
    t, c = values_of(treatment), values_of(control)
    variance = t.variance_before + c.variance_before
    covariance = t.covariance + c.covariance
    known = variance > 0
    return np.where(known, covariance / np.where(known, variance, 1.0), 0.0)


def sampling_variance(moments: Moments, cuped: bool) -> NDArray[np.float64]:
    """Of a variant's value; with CUPED at the slope that is best for it."""
    values = values_of(moments)
    known = values.variance_before > 0
    before = np.where(known, values.variance_before, 1.0)
    slope = np.where(known & cuped, values.covariance / before, 0.0)
    return values.adjusted_variance(slope)


def _ratio(
    numerator: NDArray[np.float64], denominator: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(...) the ratio of two means and (..., 2) its slopes by each of them."""
    with np.errstate(divide="ignore", invalid="ignore"):
        value = numerator / denominator
        return value, np.stack([1 / denominator, -value / denominator], axis=-1)
