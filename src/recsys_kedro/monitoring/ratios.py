"""Sums over sums with intervals that know that a user's answers are alike."""

import math
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import stats

from recsys_kedro import columns as c
from recsys_kedro.experiments.delta_method import values_of
from recsys_kedro.experiments.effects import CONFIDENCE
from recsys_kedro.experiments.moments import moments_of_units
from recsys_kedro.monitoring import columns as m
from recsys_kedro.monitoring.figures import FIGURES, Figure

ONE: Final = pl.lit(1.0)
RULE_OF_THREE: Final = 3.0
ROUNDING: Final = 1e-7  # relative; what is below it is no difference between users


def ratio(
    name: str,
    rows: pl.DataFrame,
    numerator: pl.Expr,
    denominator: pl.Expr = ONE,
    part: str = m.ALL,
    per: float = 1.0,
) -> Figure:
    """The sum of ``numerator`` over the sum of ``denominator``, times ``per``.

    The interval is that of the delta method over users, see :mod:`.experiments.delta_method`,
    and does not go below 0. A share of 0 has the upper end ``3 / users``, Hanley and Lippman-Hand
    (1983), "If Nothing Goes Wrong, Is Everything All Right?".
    """
    summed = _by_user(rows, numerator, denominator)
    n = round(summed[:, 1].sum())
    if not n:
        return Figure(name, part, None, 0)
    values = values_of(moments_of_units(summed[:, 0], summed[:, 1]))
    value = float(values.now)
    low, high = _interval(value, float(values.variance), len(summed))
    if not value and FIGURES[name].unit == "share":
        low, high = 0.0, min(RULE_OF_THREE / len(summed), 1.0)
    return Figure(
        name,
        part,
        value * per,
        n,
        None if low is None else max(low, 0.0) * per,
        None if high is None else high * per,
    )


def ratio_difference(
    name: str, rows: pl.DataFrame, first: tuple[pl.Expr, pl.Expr], second: tuple[pl.Expr, pl.Expr]
) -> Figure:
    """The ratio ``first`` less the ratio ``second``, of the same users; n counts rows."""
    summed = np.hstack([_by_user(rows, *first), _by_user(rows, *second)])
    if not (summed[:, 1].sum() > 0 and summed[:, 3].sum() > 0):
        return Figure(name, m.ALL, None, 0)
    values = values_of(moments_of_units(*summed.T))
    value = float(values.now - values.before)
    variance = float(values.adjusted_variance(np.ones(())))
    low, high = _interval(value, variance, len(summed))
    return Figure(name, m.ALL, value, rows.height, low, high)


def _by_user(rows: pl.DataFrame, numerator: pl.Expr, denominator: pl.Expr) -> NDArray[np.float64]:
    """(U, 2) sums per user, in the order of users."""
    sums = (
        rows.select(c.USER_ID, numerator.alias("a"), denominator.alias("b"))
        .group_by(c.USER_ID)
        .agg(pl.col("a", "b").cast(pl.Float64).sum())
        .sort(c.USER_ID)
    )
    return sums.select("a", "b").to_numpy().reshape(-1, 2)


def _interval(value: float, variance: float, users: int) -> tuple[float | None, float | None]:
    """Nothing where users do not differ: that says nothing of others."""
    if users < 2 or not variance > (ROUNDING * value) ** 2:
        return None, None
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, users - 1)) * math.sqrt(variance)
    return value - half, value + half
