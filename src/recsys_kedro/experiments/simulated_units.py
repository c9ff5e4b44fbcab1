"""Simulated experiments with known truth, many at once: to see that the statistics hold.

Users differ in how keen they are, before the experiment as in it, so that the past tells
something (CUPED) and impressions, clicks and purchases go together (ratios). Few buy, and what
they pay is log-normal: revenue per user is mostly zeros with a long tail. Axes: R experiments,
N users of one variant, D days.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from recsys_kedro.experiments.moments import Moments, moments_of_sums, moments_of_units

_KEENNESS: Final = (1.0, 3.0)  # of a beta distribution
_MEAN_KEENNESS: Final = _KEENNESS[0] / sum(_KEENNESS)
_MEAN_SQUARE: Final = _MEAN_KEENNESS * (_KEENNESS[0] + 1) / (sum(_KEENNESS) + 1)
_LIST: Final = 10
_MORE_LISTS: Final = 10.0  # of the keenest user, on average
_CLICKS: Final = 0.3  # per impression, of the keenest user
_ORDERS: Final = 0.16  # of the keenest user
_LOG_BASKET: Final = 3.0
_SPREAD_OF_USERS: Final = 0.5
_SPREAD_OF_ORDERS: Final = 0.8

CTR: Final = (
    _CLICKS * (_MEAN_KEENNESS + _MORE_LISTS * _MEAN_SQUARE) / (1 + _MORE_LISTS * _MEAN_KEENNESS)
)
"""The true click-through rate without a lift."""
REVENUE: Final = float(
    _ORDERS
    * _MEAN_KEENNESS
    * np.exp(_LOG_BASKET + (_SPREAD_OF_USERS**2 + _SPREAD_OF_ORDERS**2) / 2)
)
"""The true revenue per user without a lift."""


@dataclass(frozen=True)
class SimulatedUnits:
    """(R, N) totals of the users of one variant, in the experiment and before it."""

    impressions: NDArray[np.float64]
    clicks: NDArray[np.float64]
    revenue: NDArray[np.float64]
    pre_impressions: NDArray[np.float64]
    pre_clicks: NDArray[np.float64]
    pre_revenue: NDArray[np.float64]

    def ctr(self) -> Moments:
        """Of clicks per impression, a ratio."""
        return moments_of_units(
            self.clicks, self.impressions, self.pre_clicks, self.pre_impressions
        )

    def revenue_per_user(self) -> Moments:
        """Of revenue per user, a mean."""
        return moments_of_units(self.revenue, pre_numerator=self.pre_revenue)


def simulate_units(
    rng: np.random.Generator, experiments: int, users: int, lift: float = 0.0
) -> SimulatedUnits:
    """Draw one variant; ``lift`` raises CTR and revenue per user by that share, not the past."""
    shape = (experiments, users)
    keenness = rng.beta(*_KEENNESS, shape)
    level = rng.normal(_LOG_BASKET, _SPREAD_OF_USERS, shape)
    before = _behave(rng, keenness, level, 0.0)
    during = _behave(rng, keenness, level, lift)
    return SimulatedUnits(*during, *before)


def _behave(
    rng: np.random.Generator,
    keenness: NDArray[np.float64],
    level: NDArray[np.float64],
    lift: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    lists = 1 + rng.poisson(_MORE_LISTS * keenness)
    impressions = _LIST * lists
    clicks = rng.binomial(impressions, _CLICKS * (1 + lift) * keenness)
    buys = rng.random(keenness.shape) < _ORDERS * (1 + lift) * keenness
    revenue = np.where(buys, np.exp(rng.normal(level, _SPREAD_OF_ORDERS)), 0.0)
    return impressions.astype(np.float64), clicks.astype(np.float64), revenue


def simulate_looks(
    rng: np.random.Generator,
    experiments: int,
    users: int,
    days: int,
    returning: bool,
    lift: float = 0.0,
) -> Moments:
    """(R, D) moments of revenue per user of one variant, as seen at the end of each day.

    Args:
        rng: the source of chance.
        experiments: R.
        users: of the variant, who arrive evenly over the days.
        days: D.
        returning: whether users come back on each later day and may buy again, so that the
            value of a user grows; else all of it is there on the day of arrival.
        lift: on the chance to buy.
    """
    shape = (experiments, users)
    arrival = np.arange(users) * days // users
    keenness = rng.beta(*_KEENNESS, shape)
    value, looks = np.zeros(shape), []
    for day in range(days):
        here = arrival <= day if returning else arrival == day
        chance = _ORDERS * (1 + lift) * keenness * here
        buys = rng.random(shape) < (chance / days * 2 if returning else chance)
        value[buys] += np.exp(rng.normal(_LOG_BASKET, 1.0, int(buys.sum())))
        looks.append((value.sum(axis=1), (value**2).sum(axis=1), float((arrival <= day).sum())))
    total, squares = (np.stack([look[part] for look in looks], axis=1) for part in (0, 1))
    count = np.broadcast_to(np.array([look[2] for look in looks]), total.shape)
    none = np.zeros_like(total)
    sums = np.stack([total, count, none, none], axis=-1)
    products = np.stack([squares, total, none, none, count, *[none] * 5], axis=-1)
    return moments_of_sums(count, sums, products)
