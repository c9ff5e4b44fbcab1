"""Intervals that stay valid however often one looks, so that stopping early is allowed.

Asymptotic confidence sequences: Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas (2024),
"Time-uniform central limit theory and asymptotic confidence sequences", Annals of Statistics
52(6), theorem 2.2, with Robbins' normal mixture:

``estimate ± sigma sqrt(2 (t rho^2 + 1) / (t^2 rho^2) log(sqrt(t rho^2 + 1) / alpha))``

after t units of standard deviation sigma. As sigma / sqrt(t) is the standard error, the interval
is ``± error * width`` with ``tau = t rho^2`` and ``width = sqrt((1 + 1 / tau) log((1 + tau) /
alpha^2))``. The theorem is about units that come one after the other with all of their value.
Where a user's value grows while the experiment runs, its looks are more alike than the theorem
assumes; the simulated false alarms of both cases are in ``benchmarks/experiments.py``.
"""

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import lambertw

from recsys_kedro.experiments.effects import CONFIDENCE

LEAST_UNITS: Final = 1_000
"""Units of both variants before the first interval: what is asymptotic needs some."""


def width_in_errors(
    units: ArrayLike,
    planned_units: float,
    confidence: float = CONFIDENCE,
    least_units: float = LEAST_UNITS,
) -> NDArray[np.float64]:
    """Half the always-valid interval in standard errors: it takes the place of 1.96.

    Hand it to :func:`.effects.compare`. ``rho`` makes it least at the planned units: setting the
    slope of the width to 0 gives ``tau = log((1 + tau) / alpha^2)``, so
    ``tau = -W(-alpha^2 / e) - 1`` with the lower branch of Lambert's function.

    Args:
        units: of both variants, at each look.
        planned_units: fixed before the first look.
        confidence: chance that no interval of the whole experiment misses the truth.
        least_units: before them the interval is the whole line.
    """
    counted = np.asarray(units, dtype=np.float64)
    tau = _tau(counted, planned_units, confidence)
    with np.errstate(divide="ignore"):  # without any unit the width is infinite
        width = np.sqrt((1 + 1 / tau) * np.log((1 + tau) / (1 - confidence) ** 2))
    return np.where(counted < least_units, np.inf, width)


def always_valid_p_values(
    distance: ArrayLike,
    units: ArrayLike,
    planned_units: float,
    confidence: float = CONFIDENCE,
    least_units: float = LEAST_UNITS,
) -> NDArray[np.float64]:
    """The p-values that belong to the intervals: below ``1 - confidence`` just when 0 is outside.

    The alpha at which the width is the distance: ``min(1, sqrt(1 + tau) exp(-z^2 tau / (2 (1 +
    tau))))``, with tau as planned for ``confidence``.

    Args:
        distance: z, the estimate in standard errors.
        units: of both variants, at each look.
        planned_units: fixed before the first look.
        confidence: for which the plan was made.
        least_units: before them nothing is known, the p-value is 1.
    """
    counted = np.asarray(units, dtype=np.float64)
    tau = _tau(counted, planned_units, confidence)
    exponent = np.log1p(tau) - np.square(distance) * tau / (1 + tau)
    p_values = np.minimum(np.exp(exponent / 2), 1.0)
    return np.where(counted < least_units, 1.0, p_values)


def _tau(
    units: NDArray[np.float64], planned_units: float, confidence: float
) -> NDArray[np.float64]:
    alpha = 1 - confidence
    tau_planned = -lambertw(-(alpha**2) / np.e, k=-1).real - 1
    tau: NDArray[np.float64] = units / planned_units * tau_planned
    return tau
