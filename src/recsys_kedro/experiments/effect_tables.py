"""Effects of every treatment on every metric, as a table."""

from dataclasses import dataclass, fields
from typing import Final, Literal, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys_kedro import columns as c
from recsys_kedro.experiments import columns as e
from recsys_kedro.experiments.corrections import benjamini_hochberg, holm
from recsys_kedro.experiments.delta_method import cuped_slope
from recsys_kedro.experiments.effects import CONFIDENCE, Effect, compare, cuped_saving
from recsys_kedro.experiments.sequential import always_valid_p_values, width_in_errors
from recsys_kedro.experiments.unit_metrics import STATISTICS, moments_of

Adjustment: TypeAlias = Literal["none", "cuped", "difference"]
_OF_CONTROL: Final = "_control"


@dataclass(frozen=True)
class MetricEffect:
    """One row of :func:`effect_table` without its groups: one treatment, one metric."""

    metric: str
    variant: str
    units: float
    units_control: float
    treatment: float
    control: float
    difference: float
    difference_low: float
    difference_high: float
    relative: float
    relative_low: float
    relative_high: float
    p_value: float


def effect_table(
    statistics: pl.DataFrame,
    control: str,
    adjustment: Adjustment = "none",
    confidence: float = CONFIDENCE,
    planned_units: float | None = None,
    users_per_unit: float = 1.0,
) -> pl.DataFrame:
    """Each treatment against the control, for each metric and group.

    One row per metric, treatment and group (segment, position, day):
    ``metric, variant, <groups>, units, units_control, treatment, control, difference,
    difference_error, difference_low, difference_high, relative, relative_low, relative_high,
    p_value, saving``.

    Args:
        statistics: from :func:`.unit_metrics.sufficient_statistics`.
        control: the variant to compare with.
        adjustment: ``cuped`` takes out what was so before the experiment; ``difference``
            subtracts it, see :func:`.daily.late_and_early_totals`.
        confidence: of the intervals.
        planned_units: users of both variants; given, intervals and p-values are always valid.
        users_per_unit: more than 1 where a unit is a batch of users.

    Raises:
        ValueError: if no unit has the control.
    """
    others = [name for name in statistics.columns if name not in {c.VARIANT, *STATISTICS}]
    groups = [e.METRIC, *(name for name in others if name != e.METRIC)]
    is_control = pl.col(c.VARIANT) == control
    if statistics.filter(is_control).is_empty():
        seen = sorted(statistics[c.VARIANT].unique())
        msg = f"no unit of the control '{control}' in the log, only of {', '.join(seen)}"
        raise ValueError(msg)
    pairs = statistics.filter(~is_control).join(
        statistics.filter(is_control), on=groups, suffix=_OF_CONTROL, nulls_equal=True
    )
    units = pairs[e.UNITS].to_numpy() + pairs[e.UNITS + _OF_CONTROL].to_numpy()
    treatment = moments_of(pairs.select(STATISTICS))
    base = moments_of(pairs.select(pl.col(name + _OF_CONTROL).alias(name) for name in STATISTICS))
    slope: NDArray[np.float64] | float = 1.0 if adjustment == "difference" else 0.0
    if adjustment == "cuped":
        slope = cuped_slope(treatment, base)
    users = units * users_per_unit
    width = None if planned_units is None else width_in_errors(users, planned_units, confidence)
    effect = compare(treatment, base, slope, confidence, width)
    columns = _columns_of(effect) | {"saving": cuped_saving(compare(treatment, base), effect)}
    if planned_units is not None:
        with np.errstate(divide="ignore", invalid="ignore"):
            distance = effect.difference.value / effect.difference.error
        columns["p_value"] = always_valid_p_values(distance, users, planned_units, confidence)
    named = pairs.select(e.METRIC, c.VARIANT, *groups[1:], e.UNITS, e.UNITS + _OF_CONTROL)
    return named.with_columns(pl.Series(name, values) for name, values in columns.items())


def with_corrections(effects: pl.DataFrame) -> pl.DataFrame:
    """Adds ``p_holm`` and ``p_bh`` over all rows; leave out what was declared primary."""
    p_values = effects["p_value"].to_numpy()
    return effects.with_columns(
        pl.Series("p_holm", holm(p_values)), pl.Series("p_bh", benjamini_hochberg(p_values))
    )


def effects_of(table: pl.DataFrame) -> list[MetricEffect]:
    """The rows of an effect table as objects."""
    names = [field.name for field in fields(MetricEffect)]
    return [MetricEffect(**row) for row in table.select(names).iter_rows(named=True)]


def _columns_of(effect: Effect) -> dict[str, NDArray[np.float64]]:
    return {
        "treatment": effect.treatment,
        "control": effect.control,
        "difference": effect.difference.value,
        "difference_error": effect.difference.error,
        "difference_low": effect.difference.low,
        "difference_high": effect.difference.high,
        "relative": effect.relative.value,
        "relative_low": effect.relative.low,
        "relative_high": effect.relative.high,
        "p_value": effect.p_value,
    }
