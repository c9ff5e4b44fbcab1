"""How long an experiment has to run: planned beforehand, from history.

The history is the shop's own users over windows of the same length as the experiment, in the
same statistics as the analysis: a user's revenue over four weeks has another mean and variance
than over one. Then, for two-sided tests of the difference (Casella and Berger, 2002, ch. 8; for
ratios and CUPED with the delta method's variance in place of the sample's)

``power = Phi(d / s - k) + Phi(-d / s - k)``, ``s^2 = variance (1 / n_c + (1 + lift)^2 / n_t)``

with d the lift times the value, n the units of a variant, and k the quantile 1.96. The variance
grows with the value: by (1 + lift)^2 if every user gains the same share, by less if more users
buy, so the plan errs on the safe side.

Where one looks daily, the experiment finds the effect if on any day the estimate leaves the
always-valid interval (:mod:`.sequential`). As users come evenly, the estimate over its error is
a Brownian motion with drift, divided by the root of the time (Jennison and Turnbull, 2000,
"Group Sequential Methods", chapter 3); its chance to cross is counted on paths drawn once.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import optimize, stats

from recsys_kedro.experiments.delta_method import sampling_variance
from recsys_kedro.experiments.moments import Moments
from recsys_kedro.experiments.sequential import width_in_errors
from recsys_kedro.options import Options

_PATHS: Final = 20_000
_LARGEST_SHIFT: Final = 20.0


class PowerOptions(Options):
    """What the experiment has to be able to find."""

    confidence: float = Field(0.95, gt=0.5, lt=1)
    power: float = Field(0.8, gt=0, lt=1, description="chance to find an effect of that size")
    treatment_share: float = Field(0.5, gt=0, lt=1, description="of the two variants' units")
    traffic_share: float = Field(1.0, gt=0, le=1, description="of the shop's users that take part")
    looks: Literal["once", "daily"] = Field(
        "daily", description="once: judged at the end only; daily: may end on any day"
    )


@dataclass(frozen=True)
class Baseline:
    """What is known of a metric from a window of history.

    Attributes:
        days: length of the window.
        units: users that came in it.
        value: the metric.
        variance: of one unit's part in it; with CUPED what is left.
    """

    days: int
    units: float
    value: float
    variance: float


@dataclass(frozen=True)
class PlannedLength:
    """An experiment of some days: its units, the least lift it finds, and the power for one."""

    days: int
    units: float
    detectable_lift: float
    power: float


def baseline_of(moments: Moments, days: int, cuped: bool) -> Baseline:
    """From the moments of one metric over all users of a window of ``days``."""
    variance = float(sampling_variance(moments, cuped) * moments.count)
    value = float(moments.mean[..., 0] / moments.mean[..., 1])
    return Baseline(days, float(moments.count), value, variance)


def power_of(baseline: Baseline, lift: float, units: float, options: PowerOptions) -> float:
    """Chance to find a relative lift with the units of both variants together."""
    error = math.sqrt(baseline.variance * _spread(lift, options) / units)
    shift = abs(lift * baseline.value) / error
    if options.looks == "daily":
        return _chance_to_cross(shift, baseline.days, options.confidence)
    width = stats.norm.ppf((1 + options.confidence) / 2)
    return float(stats.norm.sf(width - shift) + stats.norm.cdf(-width - shift))


def units_needed(baseline: Baseline, lift: float, options: PowerOptions) -> int:
    """Units of both variants together that find a relative lift with the wanted power."""
    per_unit = baseline.variance * _spread(lift, options)
    return math.ceil(per_unit * (_shift(baseline.days, options) / (lift * baseline.value)) ** 2)


def detectable_lift(baseline: Baseline, units: float, options: PowerOptions) -> float:
    """The least relative lift that the units find with the wanted power; infinite if none is.

    The positive root of :func:`units_needed` by the lift, a quadratic equation.
    """
    shift = _shift(baseline.days, options)
    noise = (shift / baseline.value) ** 2 * baseline.variance / units
    of_treatment = noise / options.treatment_share
    if of_treatment >= 1:
        return math.inf
    whole = noise * _spread(0.0, options)
    root = math.sqrt(of_treatment**2 + (1 - of_treatment) * whole)
    return (of_treatment + root) / (1 - of_treatment)


def planned_lengths(
    baselines: Sequence[Baseline], lift: float, options: PowerOptions
) -> list[PlannedLength]:
    """What an experiment of each length could find, shortest first."""
    lengths = []
    for baseline in sorted(baselines, key=lambda b: b.days):
        units = baseline.units * options.traffic_share
        least = detectable_lift(baseline, units, options)
        power = power_of(baseline, lift, units, options)
        lengths.append(PlannedLength(baseline.days, units, least, power))
    return lengths


def shortest_length(lengths: Sequence[PlannedLength], lift: float) -> PlannedLength | None:
    """The first length that finds the lift with the wanted power; None if none does."""
    return next((length for length in lengths if length.detectable_lift <= abs(lift)), None)


def _spread(lift: float, options: PowerOptions) -> float:
    """Variance of the difference, times the units of both variants, for one of the baseline."""
    share = options.treatment_share
    return 1 / (1 - share) + (1 + abs(lift)) ** 2 / share


def _shift(days: int, options: PowerOptions) -> float:
    """How many standard errors the effect has to be from 0 at the end."""
    if options.looks == "daily":
        return _shift_of_looks(days, options.confidence, options.power)
    return float(stats.norm.ppf((1 + options.confidence) / 2) + stats.norm.ppf(options.power))


@lru_cache
def _shift_of_looks(looks: int, confidence: float, power: float) -> float:
    shift: float = optimize.brentq(
        lambda shift: _chance_to_cross(shift, looks, confidence) - power, 0.0, _LARGEST_SHIFT
    )
    return shift


def _chance_to_cross(shift: float, looks: int, confidence: float) -> float:
    fraction_L = np.arange(1, looks + 1) / looks
    width_L = width_in_errors(fraction_L, 1.0, confidence, least_units=0.0)
    standing_RL = _paths(looks) / np.sqrt(fraction_L) + shift * np.sqrt(fraction_L)
    return float((standing_RL > width_L).any(axis=1).mean())


@lru_cache
def _paths(looks: int) -> NDArray[np.float64]:
    """(R, looks) Brownian motions on (0, 1]; the same ones whenever it is asked."""
    steps_RL = np.random.default_rng(0).normal(size=(_PATHS, looks)) / math.sqrt(looks)
    paths: NDArray[np.float64] = steps_RL.cumsum(axis=1)
    return paths
