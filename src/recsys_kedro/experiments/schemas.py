"""The experiments' part of the data dictionary."""

from typing import Any

import pandera.polars as pa
import polars as pl

from recsys_kedro import columns as c
from recsys_kedro.experiments import columns as e

SHARE = pa.Check.in_range(0, 1)


def _figure(description: str, **options: Any) -> pa.Column:
    """Empty where the data does not give it."""
    return pa.Column(pl.Float64, description=description, nullable=True, **options)


def _with_bounds(name: str, description: str) -> dict[str, pa.Column]:
    return {
        name: _figure(description),
        f"{name}_low": _figure(f"lower bound of {name}; empty: none"),
        f"{name}_high": _figure(f"upper bound of {name}; empty: none"),
    }


EXPERIMENT_EFFECTS = pa.DataFrameSchema(
    {
        c.EXPERIMENT: pa.Column(pl.String, description="the A/B test"),
        c.VARIANT: pa.Column(pl.String, description="the treatment"),
        e.METRIC: pa.Column(pl.String, description="one of experiments.unit_metrics"),
        "users": pa.Column(pl.Int64, pa.Check.ge(0), description="of the treatment"),
        "users_control": pa.Column(pl.Int64, pa.Check.ge(0), description="of the control"),
        "treatment": _figure("the metric's value, adjusted by CUPED"),
        "control": _figure("the same of the control"),
        **_with_bounds("difference", "treatment minus control, in the metric's unit"),
        **_with_bounds("relative", "difference / control"),
        "p_value": _figure("of no difference", checks=SHARE),
        "p_holm": _figure("among the secondary metrics; empty: the primary one", checks=SHARE),
        "p_bh": _figure("the same by Benjamini and Hochberg", checks=SHARE),
        "saving": _figure("share of the variance that CUPED took away"),
        "observed_treatment": _figure("the metric's value as counted, without adjustment"),
        "observed_control": _figure("the same of the control"),
        **_with_bounds("observed_relative", "difference of those / control"),
    },
    name="experiment_effects",
    description="One row per experiment, treatment and metric.",
    unique=[c.EXPERIMENT, c.VARIANT, e.METRIC],
    strict=True,
)
