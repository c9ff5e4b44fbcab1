"""What the analysis of experiments says: the shape of ``experiment_results.json``."""

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import polars as pl
from pydantic import BaseModel, ConfigDict

from recsys_kedro import columns as c
from recsys_kedro.experiments import columns as e
from recsys_kedro.experiments.checks import GuardrailCheck, Harm, SplitCheck
from recsys_kedro.experiments.effects import Estimate
from recsys_kedro.experiments.schemas import EXPERIMENT_EFFECTS
from recsys_kedro.experiments.verdict import ExperimentPlan, Verdict

SCHEMA_VERSION: Final = 1


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Figure(_Part):
    """A figure with its interval; empty where the data does not give it or sets no bound."""

    value: float | None
    low: float | None
    high: float | None

    @classmethod
    def of(cls, value: float, low: float, high: float) -> "Figure":
        """NaN and infinity become empty."""
        return cls(value=known(value), low=known(low), high=known(high))

    @classmethod
    def of_estimate(cls, estimate: Estimate) -> "Figure":
        """Without the standard error."""
        return cls.of(float(estimate.value), float(estimate.low), float(estimate.high))

    @classmethod
    def named(cls, row: Mapping[str, Any], name: str) -> "Figure":
        """From the columns ``name, name_low, name_high`` of an effect table."""
        return cls.of(row[name], row[f"{name}_low"], row[f"{name}_high"])


class GroupEffect(_Part):
    """The effect on one metric in one group: a segment, a position, a day.

    Attributes:
        group: name of the segment, number of the position or of the day (from 0).
        users: of treatment and control.
        treatment, control: the metric's value; adjusted where the difference is.
        difference: treatment minus control, in the metric's unit.
    """

    group: int | str
    users: int
    treatment: float | None
    control: float | None
    difference: Figure

    @classmethod
    def of(cls, row: Mapping[str, Any], group: int | str) -> "GroupEffect":
        """From a row of an effect table."""
        return cls(
            group=group,
            users=int(row[e.UNITS] + row["units_control"]),
            treatment=known(row["treatment"]),
            control=known(row["control"]),
            difference=Figure.named(row, "difference"),
        )


class MetricResult(_Part):
    """The effect on one metric.

    Attributes:
        treatment, control: the metric's value, adjusted by CUPED.
        difference: treatment minus control, in the metric's unit, adjusted.
        relative: difference / control, adjusted.
        p_value: of no difference; valid at any look if the plan looks daily.
        p_holm: p-value among all secondary metrics and treatments; empty for the primary metric.
        p_bh: the same, bounding the share of false findings instead of the chance of any.
        saving: share of the variance that CUPED took away.
        observed_treatment, observed_control: as counted in the log, without adjustment.
        observed_relative: difference of those / control.
    """

    treatment: float | None
    control: float | None
    difference: Figure
    relative: Figure
    p_value: float | None
    p_holm: float | None
    p_bh: float | None
    saving: float | None
    observed_treatment: float | None
    observed_control: float | None
    observed_relative: Figure

    @classmethod
    def of(cls, adjusted: Mapping[str, Any], observed: Mapping[str, Any]) -> "MetricResult":
        """From the metric's rows of two effect tables, the first one with corrections."""
        numbers = ("treatment", "control", "p_value", "p_holm", "p_bh", "saving")
        return cls(
            **{name: known(adjusted[name]) for name in numbers},
            difference=Figure.named(adjusted, "difference"),
            relative=Figure.named(adjusted, "relative"),
            observed_treatment=known(observed["treatment"]),
            observed_control=known(observed["control"]),
            observed_relative=Figure.named(observed, "relative"),
        )


class GuardrailResult(_Part):
    """What became of a guardrail; ``worse`` counts worsening as positive.

    ``relative``: margin and ``worse`` are shares of the control's value, else in the metric's
    unit.
    """

    metric: str
    relative: bool
    margin: float
    harm: Harm
    worse: Figure

    @classmethod
    def of(cls, check: GuardrailCheck) -> "GuardrailResult":
        """The check without infinite bounds."""
        guardrail = check.guardrail
        return cls(
            metric=guardrail.metric,
            relative=guardrail.relative_margin is not None,
            margin=guardrail.relative_margin or guardrail.absolute_margin or 0.0,
            harm=check.harm,
            worse=Figure.of(check.worse, check.low, check.high),
        )


class Comparison(_Part):
    """One treatment against the control.

    Attributes:
        users: of the treatment; ``users_control``: of the control.
        metrics: by metric.
        guardrails: of the plan.
        monthly_revenue: what the treatment for all would change in a month, shop's currency.
        wearing_off: on the primary metric, late minus early effect; empty: too short for it.
        days: effect on the primary metric as it stood after each day, always-valid intervals.
        ages: effect on the primary metric on each day since a user's first exposure.
        positions: effect on the click-through rate by position.
        segments: effect on the primary metric, by what is cut; intervals hold for all together.
    """

    users: int
    users_control: int
    metrics: dict[str, MetricResult]
    guardrails: tuple[GuardrailResult, ...]
    monthly_revenue: Figure | None
    wearing_off: Figure | None
    days: tuple[GroupEffect, ...]
    ages: tuple[GroupEffect, ...]
    positions: tuple[GroupEffect, ...]
    segments: dict[str, tuple[GroupEffect, ...]]


class ExperimentResult(_Part):
    """One experiment.

    Attributes:
        start, end: as declared; the end is not part of it.
        control: name of the variant that the treatments are compared with.
        plan: as made beforehand, if it was.
        primary: the metric that decides, or would.
        confidence: of each interval; above that of the plan where there are several treatments.
        split: users by variant against the declared weights; empty: nothing was logged.
        crossovers: users who saw several variants and belong to none.
        purchases: of the users while they took part; ``unpriced_purchases`` of them have no
            price, not even in the products table, and add nothing to revenue.
        verdicts: by treatment, whatever the log holds.
        comparisons: by treatment; empty where the log does not let anything be compared.
    """

    start: datetime
    end: datetime
    control: str
    plan: ExperimentPlan | None
    primary: str
    confidence: float
    split: SplitCheck | None
    crossovers: int
    purchases: int
    unpriced_purchases: int
    verdicts: dict[str, Verdict]
    comparisons: dict[str, Comparison]


class ExperimentResults(_Part):
    """All declared experiments, from a log that ends at ``as_of``.

    ``undeclared``: names that are in the log and not in the declarations.
    """

    schema_version: int
    as_of: datetime
    experiments: dict[str, ExperimentResult]
    undeclared: tuple[str, ...]


def known(value: float | None) -> float | None:
    """The number; None for NaN and infinity."""
    return value if value is not None and math.isfinite(value) else None


def effects_frame(results: ExperimentResults) -> pl.DataFrame:
    """Every effect as a row, as ``EXPERIMENT_EFFECTS``; sorted as the results are."""
    rows = [
        {
            c.EXPERIMENT: experiment,
            c.VARIANT: variant,
            e.METRIC: metric,
            "users": comparison.users,
            "users_control": comparison.users_control,
            **_columns_of(effect),
        }
        for experiment, result in results.experiments.items()
        for variant, comparison in result.comparisons.items()
        for metric, effect in comparison.metrics.items()
    ]
    types = {name: column.dtype.type for name, column in EXPERIMENT_EFFECTS.columns.items()}
    return pl.DataFrame(rows, schema=types)


def _columns_of(effect: MetricResult) -> dict[str, float | None]:
    """The fields; a figure becomes three columns."""
    columns: dict[str, float | None] = {}
    for name, field in effect:
        if isinstance(field, Figure):
            columns |= {name: field.value, f"{name}_low": field.low, f"{name}_high": field.high}
        else:
            columns[name] = field
    return columns
