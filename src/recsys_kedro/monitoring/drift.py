"""Which columns have moved away from the reference."""

from collections.abc import Mapping
from typing import Final

import polars as pl

from recsys_kedro import columns as c
from recsys_kedro.features.schemas import USER_FEATURES
from recsys_kedro.monitoring import columns as m
from recsys_kedro.monitoring.figures import Figure
from recsys_kedro.monitoring.stability import Distribution

WATCHED_OF_EVENTS: Final = (c.EVENT_TYPE, c.CATEGORY, c.PRICE, c.DEVICE_TYPE)
WATCHED_OF_ANSWERS: Final = (c.HISTORY_LENGTH, c.DEVICE_TYPE, m.SCORE_SPREAD)
PROFILE: Final = pl.Struct(
    {name: column.dtype.type for name, column in USER_FEATURES.columns.items() if name != c.USER_ID}
)


def watched_columns(
    events: pl.DataFrame, shown: pl.DataFrame, answers: pl.DataFrame, served_inputs: pl.DataFrame
) -> dict[str, pl.Series]:
    """The columns whose distribution is watched, by ``table.column``, of one stretch of time."""
    return {
        **{f"events.{name}": events[name] for name in WATCHED_OF_EVENTS},
        **{f"answers.{name}": answers[name] for name in WATCHED_OF_ANSWERS},
        f"impressions.{c.SOURCE}": shown[c.SOURCE],
        **{f"profiles.{values.name}": values for values in profiles_of(served_inputs)},
    }


def profiles_of(served_inputs: pl.DataFrame) -> pl.DataFrame:
    """The user features that the model was given, one row per served input."""
    return served_inputs.select(pl.col(c.PROFILE).str.json_decode(PROFILE)).unnest(c.PROFILE)


def drift_figures(
    reference: Mapping[str, Distribution], window: Mapping[str, pl.Series]
) -> list[Figure]:
    """The PSI of every column; n is the size of the smaller side."""
    return [_change(name, usual, window[name]) for name, usual in reference.items()]


def _change(name: str, reference: Distribution, window: pl.Series) -> Figure:
    n = min(reference.size, len(window))
    return Figure("psi", name, reference.change_to(window) if n else None, n)
