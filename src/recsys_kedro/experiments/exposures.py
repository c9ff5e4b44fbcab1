"""Who takes part in an experiment, from the impression log."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

import polars as pl

from recsys_kedro import columns as c
from recsys_kedro.experiments import columns as e

_OTHER: Final = "_other"


@dataclass(frozen=True)
class Scope:
    """An experiment's part of the log: its name there, ``start``, and ``end`` (exclusive)."""

    experiment: str
    start: datetime
    end: datetime


def of_experiment(impressions: pl.LazyFrame, scope: Scope) -> pl.LazyFrame:
    """The impressions of the experiment, with ``experiment, variant`` for ``variants``."""
    in_time = pl.col(c.TIMESTAMP).is_between(scope.start, scope.end, closed="left")
    return (
        impressions.filter(in_time)
        .explode(c.VARIANTS)
        .unnest(c.VARIANTS)
        .filter(pl.col(c.EXPERIMENT) == scope.experiment)
    )


def exposed_units(impressions: pl.LazyFrame, scope: Scope) -> pl.LazyFrame:
    """Who took part, one row per user.

    ``user_id, variant, first_exposure, device_type, history_length, first_day``; days count
    from 0 at ``start``. Device and history are those of the first exposure, before the variant
    could change them: segments may be made of them.

    A user who saw several variants (after a change of the weights, say) belongs to none of them
    and is left out; :func:`crossovers` counts them.
    """
    one_variant = pl.col(c.VARIANT) == pl.col(_OTHER)
    return (
        of_experiment(impressions, scope)
        .group_by(c.USER_ID)
        .agg(
            pl.col(c.VARIANT).min(),
            pl.col(c.VARIANT).max().alias(_OTHER),
            pl.col(c.TIMESTAMP).min().alias(e.FIRST_EXPOSURE),
            pl.col(c.DEVICE_TYPE, c.HISTORY_LENGTH).min_by(c.TIMESTAMP),
        )
        .with_columns(day_of(e.FIRST_EXPOSURE, scope.start).alias(e.FIRST_DAY))
        .filter(one_variant)
        .drop(_OTHER)
    )


def crossovers(impressions: pl.LazyFrame, scope: Scope) -> int:
    """How many users saw more than one variant; many of them are a fault of the assignment."""
    seen = of_experiment(impressions, scope).group_by(c.USER_ID)
    several = seen.agg(pl.col(c.VARIANT).min() != pl.col(c.VARIANT).max())
    return int(several.select(c.VARIANT).sum().collect(engine="streaming").item())


def day_of(time: str, start: datetime) -> pl.Expr:
    """Whole days of 24 hours from ``start`` to a column of times."""
    return (pl.col(time) - start).dt.total_days()
