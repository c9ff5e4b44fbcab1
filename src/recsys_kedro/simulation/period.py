"""Seconds since the start of the simulated period, and the UTC times that they stand for."""

from datetime import UTC, datetime, time

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys_kedro.schemas import UTC_TIME
from recsys_kedro.simulation.options import SimulationOptions

SECONDS_PER_DAY = 86_400
DAYS_PER_WEEK = 7
WEEK_SECONDS = DAYS_PER_WEEK * SECONDS_PER_DAY


def period_start(options: SimulationOptions) -> datetime:
    """Midnight of the first day, UTC."""
    return datetime.combine(options.start, time(), UTC)


def times(options: SimulationOptions, seconds: NDArray[np.int64]) -> pl.Series:
    """(N,) UTC times from seconds since the start of the period."""
    start = int(period_start(options).timestamp())
    return pl.Series((seconds + start) * 1_000_000).cast(UTC_TIME)
