"""What is in demand when: seasons, trends, newness, and the hours that people shop in.

Shapes: P products, K categories, W weeks, S sessions, N draws per session.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys_kedro.simulation.catalogue import Catalogue
from recsys_kedro.simulation.options import SimulationOptions
from recsys_kedro.simulation.period import DAYS_PER_WEEK, SECONDS_PER_DAY
from recsys_kedro.simulation.shoppers import DEVICES, Shoppers

SEASON_AMPLITUDE = 0.6
TREND_SIGMA, TREND_MEMORY = 0.35, 0.7
NEWNESS_BOOST, NEWNESS_DAYS = 0.8, 21.0
USUAL_DEVICE_SHARE = 0.85
CHRISTMAS_PEAK, CHRISTMAS_SPREAD = 345.0, 12.0  # day of the year, days
GIFT_CATEGORIES, GIFT_PRODUCTS = 0.3, 0.2  # shares

# Monday first. Shares of the day's sessions by hour (UTC), for workdays and weekends.
WEEKDAY_WEIGHTS = np.array([1.05, 1.0, 1.0, 1.0, 0.95, 0.85, 1.15])
_WORKDAY_HOURS = (2, 1, 1, 1, 1, 2, 4, 6, 7, 7, 7, 8, 9, 8, 6, 6, 6, 7, 9, 12, 14, 13, 9, 4)
_WEEKEND_HOURS = (4, 2, 1, 1, 1, 1, 2, 3, 6, 9, 12, 13, 12, 11, 11, 11, 10, 9, 9, 10, 11, 10, 8, 5)


@dataclass(frozen=True)
class Demand:
    """Week by week, from the start of the period.

    Attributes:
        log_season_WK: yearly season of each category, plus its lasting size.
        log_weight_WP: appeal, trend and newness of each product; -inf before it is created.
    """

    log_season_WK: NDArray[np.float32]
    log_weight_WP: NDArray[np.float32]

    @property
    def weeks(self) -> int:
        """How many weeks the period has, the last one perhaps in part."""
        return len(self.log_season_WK)


@dataclass(frozen=True)
class Visits:
    """S sessions, sorted by start.

    Attributes:
        user: (S,) index of the user.
        start_second: (S,) from the start of the period.
        device: (S,) index of the device.
    """

    user: NDArray[np.int64]
    start_second: NDArray[np.int64]
    device: NDArray[np.int8]


def make_demand(
    catalogue: Catalogue, options: SimulationOptions, rng: np.random.Generator
) -> Demand:
    """Draw seasons and trends, and what is a gift if Christmas counts."""
    weeks = -(-options.days // DAYS_PER_WEEK)
    categories = len(catalogue.centroid_KD)
    size = rng.normal(0.0, 0.4, categories)
    amplitude = rng.gamma(2.0, SEASON_AMPLITUDE / 2, categories)
    peak = rng.uniform(0.0, 365.25, categories)
    day = np.arange(weeks) * DAYS_PER_WEEK + options.start.timetuple().tm_yday
    wave = np.cos(2 * np.pi * (day[:, None] - peak) / 365.25)
    age = np.arange(weeks)[:, None] * DAYS_PER_WEEK - catalogue.created_second / SECONDS_PER_DAY
    weight = catalogue.log_appeal + _trends(weeks, len(catalogue), rng)
    weight += (NEWNESS_BOOST * np.exp(-np.maximum(age, 0.0) / NEWNESS_DAYS)).astype(np.float32)
    season = size + amplitude * wave
    if options.christmas > 0:  # drawn last, so that nothing else changes
        near = np.exp(-(((day[:, None] % 365.25) - CHRISTMAS_PEAK) ** 2) / 2 / CHRISTMAS_SPREAD**2)
        gifts = rng.permutation(categories) < GIFT_CATEGORIES * categories
        season += options.christmas * near * gifts
        gifts = rng.permutation(len(catalogue)) < GIFT_PRODUCTS * len(catalogue)
        weight += (2 * options.christmas * near * gifts).astype(np.float32)
    return Demand(
        log_season_WK=season.astype(np.float32),
        log_weight_WP=np.where(age >= 0, weight, -np.inf).astype(np.float32),
    )


def draw_products(
    log_weight_P: NDArray[np.float32],
    first_of_category: NDArray[np.int64],
    category_S: NDArray[np.int64],
    draws: int,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """(S, N) products of each session's category, by weight, with replacement."""
    reached = np.cumsum(np.exp(log_weight_P, dtype=np.float64))
    edges = np.concatenate([[0.0], reached])[first_of_category]
    low, high = edges[category_S, None], edges[category_S + 1, None]
    point = low + rng.random((len(category_S), draws)) * (high - low)
    below = np.minimum(point, np.nextafter(high, low))
    product_SN: NDArray[np.int64] = np.searchsorted(reached, below, side="right")
    return product_SN


def make_visits(
    shoppers: Shoppers,
    sessions_per_user: float,
    options: SimulationOptions,
    rng: np.random.Generator,
) -> Visits:
    """Draw who comes when, and with what device; nobody comes before the account is made."""
    reached = np.concatenate([[0.0], np.cumsum(_day_weights(options))])
    joined = np.clip(shoppers.created_second / SECONDS_PER_DAY, 0, options.days)
    joined_share = np.interp(joined, np.arange(options.days + 1), reached / reached[-1])
    rate = shoppers.activity * (1 - joined_share)
    total = sessions_per_user * len(shoppers)
    user = np.repeat(np.arange(len(shoppers)), rng.poisson(rate * total / max(rate.sum(), 1e-12)))
    share = rng.uniform(joined_share[user], 1.0) * reached[-1]
    day = np.minimum(np.searchsorted(reached, share, side="right") - 1, options.days - 1)
    second = day * SECONDS_PER_DAY + _second_of_day(day, options, rng)
    second = np.maximum(second, shoppers.created_second[user])
    order = np.argsort(second, kind="stable")
    user = user[order]
    return Visits(user, second[order], _devices(shoppers.device[user], rng))


def _day_weights(options: SimulationOptions) -> NDArray[np.float64]:
    day = np.arange(options.days)
    of_year = day + options.start.timetuple().tm_yday
    before_holidays = 1 + 0.3 * np.exp(-(((of_year % 365.25) - 340) ** 2) / (2 * 15.0**2))
    weights: NDArray[np.float64] = WEEKDAY_WEIGHTS[_weekday(day, options)] * before_holidays
    return weights


def _weekday(day: NDArray[np.int64], options: SimulationOptions) -> NDArray[np.int64]:
    return (day + options.start.weekday()) % DAYS_PER_WEEK


def _second_of_day(
    day: NDArray[np.int64], options: SimulationOptions, rng: np.random.Generator
) -> NDArray[np.int64]:
    hours = np.array([_WORKDAY_HOURS, _WEEKEND_HOURS], np.float64)
    reached = np.cumsum(hours / hours.sum(axis=1, keepdims=True), axis=1)
    reached[1] += 1.0  # one ascending row: workdays from 0 to 1, weekends from 1 to 2
    weekend = _weekday(day, options) >= DAYS_PER_WEEK - 2
    point = np.minimum(rng.random(len(day)), 1 - 1e-9) + weekend
    hour = np.searchsorted(reached.ravel(), point, side="right") % 24
    return hour * 3_600 + rng.integers(0, 3_600, len(day))


def _devices(usual: NDArray[np.int8], rng: np.random.Generator) -> NDArray[np.int8]:
    other = rng.integers(0, len(DEVICES), len(usual)).astype(np.int8)
    return np.where(rng.random(len(usual)) < USUAL_DEVICE_SHARE, usual, other)


def _trends(weeks: int, products: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Ups and downs that last some weeks: autoregressive of order one, stationary."""
    shock = TREND_SIGMA * rng.standard_normal((weeks, products), dtype=np.float32)
    trend = shock.copy()
    fresh = np.float32(np.sqrt(1 - TREND_MEMORY**2))
    for week in range(1, weeks):
        trend[week] = TREND_MEMORY * trend[week - 1] + fresh * shock[week]
    return trend
