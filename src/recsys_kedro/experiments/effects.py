"""What a treatment does: differences and relative lifts with intervals.

One estimator covers means and ratios, with and without CUPED. With y the metric's value in a
variant (sum of numerators / sum of denominators), x the same before the experiment and theta
the CUPED slope, the effect is ``(y_t - theta x_t) - (y_c - theta x_c)``.

- :mod:`.delta_method`: the variances of y and x, and CUPED.
- Fieller (1954), "Some Problems in Interval Estimation": the interval of a relative lift. The
  delta method's own covers too rarely where few buy; ``benchmarks/experiments.py`` counts both.
- Welch (1947): the degrees of freedom.

All arrays may have the leading axes of :mod:`.moments`.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from recsys_kedro.experiments.delta_method import VariantValues, values_of
from recsys_kedro.experiments.moments import Moments

CONFIDENCE: Final = 0.95
DAYS_PER_MONTH: Final = 365.25 / 12


class Estimate(NamedTuple):
    """A figure with its standard error and interval; NaN where the data does not give it."""

    value: NDArray[np.float64]
    error: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    def times(self, factor: float) -> "Estimate":
        """The same in another unit; ``factor`` is positive and known."""
        return Estimate(*(part * factor for part in self))


@dataclass(frozen=True)
class Effect:
    """Treatment against control.

    Attributes:
        treatment: value in the treatment, adjusted by CUPED where a slope was given.
        control: value in the control, likewise.
        difference: treatment minus control, in the metric's unit.
        relative: difference / control; NaN where the control's value is not positive.
        p_value: of no difference, two-sided.
    """

    treatment: NDArray[np.float64]
    control: NDArray[np.float64]
    difference: Estimate
    relative: Estimate
    p_value: NDArray[np.float64]


class _Pair(NamedTuple):
    """A difference and what it is relative to, with variances and covariance; all (...)."""

    difference: NDArray[np.float64]
    base: NDArray[np.float64]
    variance: NDArray[np.float64]
    variance_of_base: NDArray[np.float64]
    covariance: NDArray[np.float64]


def compare(
    treatment: Moments,
    control: Moments,
    slope: NDArray[np.float64] | float = 0.0,
    confidence: float = CONFIDENCE,
    width: NDArray[np.float64] | None = None,
) -> Effect:
    """The effect of the treatment.

    Args:
        treatment: moments of its units.
        control: moments of the control's units.
        slope: 0 for the plain comparison, :func:`cuped_slope` for CUPED, 1 for the difference
            of differences.
        confidence: share of intervals that cover the truth, over many experiments.
        width: half the interval in standard errors, in place of the quantile of ``confidence``;
            see :mod:`.sequential`. The p-value stays that of a single look.
    """
    theta = np.asarray(slope, dtype=np.float64)
    t, c = values_of(treatment), values_of(control)
    with np.errstate(divide="ignore", invalid="ignore"):
        share_t = treatment.count / (treatment.count + control.count)
        centre = share_t * t.before + (1 - share_t) * c.before
        value_t, value_c = (v.now - theta * (v.before - centre) for v in (t, c))
        variance_t, variance_c = t.adjusted_variance(theta), c.adjusted_variance(theta)
        difference, error = value_t - value_c, np.sqrt(variance_t + variance_c)
        # Welch and Satterthwaite.
        freedom = (variance_t + variance_c) ** 2 / (
            variance_t**2 / (treatment.count - 1) + variance_c**2 / (control.count - 1)
        )
        p_value = 2 * stats.t.sf(np.abs(difference / error), freedom)
    if width is None:  # without any variance (no failures at all, say) the width does not matter
        freedom = np.where(variance_t + variance_c == 0, np.inf, freedom)
        width = stats.t.ppf((1 + confidence) / 2, freedom)
    pair = _Pair(difference, value_c, error**2, *_with_base(t, c, theta, share_t))
    return Effect(value_t, value_c, _absolute(pair, width), _relative(pair, width), p_value)


def cuped_saving(plain: Effect, adjusted: Effect) -> NDArray[np.float64]:
    """Share of the variance that CUPED took away: as if there were 1 / (1 - share) the units."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return 1 - (adjusted.difference.error / plain.difference.error) ** 2


def monthly_effect(
    per_unit: Estimate, units: float, days: float, traffic_share: float = 1.0
) -> Estimate:
    """What the treatment for all instead of the control for all changes in a month.

    The effect per unit over the experiment times all units that came in it, scaled to a month:
    right if the coming months are like the experiment. Season and novelty are not in it.

    Args:
        per_unit: difference per unit, e.g. of revenue per user.
        units: units of all variants together.
        days: length of the experiment.
        traffic_share: part of the shop's units that could take part in the experiment.
    """
    return per_unit.times(units / traffic_share * DAYS_PER_MONTH / days)


def _with_base(
    t: VariantValues, c: VariantValues, theta: NDArray[np.float64], share_t: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Variance of the base, and its covariance with the difference.

    Both are linear in the variants' values now (y) and before (x):
    ``difference = y_t - theta x_t - y_c + theta x_c`` and
    ``base = y_c - pull x_c + pull x_t`` with ``pull = theta share_t``.
    """
    pull = theta * share_t
    variance = c.adjusted_variance(pull) + pull**2 * t.variance_before
    covariance = pull * (t.covariance - theta * t.variance_before) - (
        c.variance - (pull + theta) * c.covariance + pull * theta * c.variance_before
    )
    return variance, covariance


def _absolute(pair: _Pair, width: NDArray[np.float64]) -> Estimate:
    error = np.sqrt(pair.variance)
    with np.errstate(invalid="ignore"):  # an infinite width of no error
        half = width * error
    return Estimate(pair.difference, error, pair.difference - half, pair.difference + half)


def _relative(pair: _Pair, width: NDArray[np.float64]) -> Estimate:
    """``difference / base`` with Fieller's interval.

    It holds all r for which ``difference - r base`` is within ``width`` of its standard errors
    from 0: the roots of ``a r^2 - 2 b r + c``. It leaves out 0 just when the interval of the
    difference does. If the base itself is not that far from 0, nothing can be said.
    """
    difference, base = pair.difference, pair.base
    with np.errstate(divide="ignore", invalid="ignore"):
        value = np.where(base > 0, difference / base, np.nan)
        variance = (
            pair.variance - 2 * value * pair.covariance + value**2 * pair.variance_of_base
        ) / base**2
        a = base**2 - width**2 * pair.variance_of_base
        b = difference * base - width**2 * pair.covariance
        c = difference**2 - width**2 * pair.variance
        half = np.sqrt(np.maximum(b**2 - a * c, 0.0))
        low, high = ((b + sign * half) / a for sign in (-1, 1))
        outside = np.where(np.isnan(value), np.nan, np.inf)
        bounded = (a > 0) & (base > 0)
        error = np.sqrt(np.maximum(variance, 0.0))
    return Estimate(
        value, error, np.where(bounded, low, -outside), np.where(bounded, high, outside)
    )
