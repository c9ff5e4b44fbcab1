"""May the figures be read, and is nothing harmed: the split and the guardrails."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator
from scipy import stats

from recsys_kedro.experiments.effect_tables import MetricEffect
from recsys_kedro.experiments.unit_metrics import metric_named
from recsys_kedro.options import Options

BROKEN_BELOW: Final = 0.001
"""Kohavi, Tang and Xu (2020), "Trustworthy Online Controlled Experiments", chapter 21."""


@dataclass(frozen=True)
class SplitCheck:
    """Units by variant against the declared weights; ``p_value`` of the chi-square test."""

    units: Mapping[str, int]
    shares: Mapping[str, float]
    p_value: float

    @property
    def broken(self) -> bool:
        """Sample ratio mismatch: users are missing in some variant, so nothing compares."""
        return self.p_value < BROKEN_BELOW


class Guardrail(Options):
    """A metric that may not get worse by more than a margin; exactly one margin is set."""

    metric: str
    relative_margin: float | None = Field(None, ge=0, description="share of the control's value")
    absolute_margin: float | None = Field(
        None, ge=0, description="in the metric's unit, where the control may be 0"
    )

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        metric_named(self.metric)
        if (self.relative_margin is None) == (self.absolute_margin is None):
            msg = f"guardrail {self.metric}: set one of relative_margin, absolute_margin"
            raise ValueError(msg)
        return self


class Harm(StrEnum):
    """What the interval says about a guardrail."""

    NONE = "safe"
    POSSIBLE = "uncertain"
    CERTAIN = "harmed"


@dataclass(frozen=True)
class GuardrailCheck:
    """A guardrail's outcome; ``worse`` and its bounds count worsening as positive."""

    guardrail: Guardrail
    harm: Harm
    worse: float
    low: float
    high: float


def check_split(units: Mapping[str, int], weights: Mapping[str, float]) -> SplitCheck:
    """Compare the units of each declared variant with its weight.

    Raises:
        ValueError: if the log has a variant that is not declared.
    """
    unknown = sorted(set(units) - set(weights))
    if unknown:
        msg = f"variants {unknown} are in the log and not declared: {', '.join(weights)}"
        raise ValueError(msg)
    counted = {name: units.get(name, 0) for name in weights}
    total = sum(weights.values())
    shares = {name: weight / total for name, weight in weights.items()}
    observed, expected = (np.array(list(d.values()), dtype=float) for d in (counted, shares))
    return SplitCheck(counted, shares, float(split_p_values(observed, expected)))


def split_p_values(units: NDArray[np.float64], shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """(...) p-values of the (..., V) units of V variants under (V,) shares that sum to 1."""
    expected = units.sum(axis=-1, keepdims=True) * shares
    with np.errstate(divide="ignore", invalid="ignore"):
        chi_square = ((units - expected) ** 2 / expected).sum(axis=-1)
    p_values: NDArray[np.float64] = stats.chi2.sf(chi_square, units.shape[-1] - 1)
    return p_values


def check_guardrail(guardrail: Guardrail, effect: MetricEffect) -> GuardrailCheck:
    """Harmed or safe only if the whole interval lies on one side of the margin.

    A figure that is not known (no answers, nothing bought) is uncertain.
    """
    if guardrail.relative_margin is not None:
        margin = guardrail.relative_margin
        worse, low, high = effect.relative, effect.relative_low, effect.relative_high
    else:
        margin = guardrail.absolute_margin or 0.0
        worse, low, high = effect.difference, effect.difference_low, effect.difference_high
    if metric_named(guardrail.metric).more_is_better:
        worse, low, high = -worse, -high, -low
    harm = Harm.CERTAIN if low > margin else Harm.NONE if high <= margin else Harm.POSSIBLE
    return GuardrailCheck(guardrail, harm, worse, low, high)
