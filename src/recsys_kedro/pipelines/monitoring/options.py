"""Parameters of the monitoring."""

from datetime import timedelta
from typing import Literal, Self

from pydantic import AwareDatetime, Field, SecretStr, field_validator, model_validator

from recsys_kedro.experiments.attribution import AttributionOptions
from recsys_kedro.monitoring.figures import FIGURES
from recsys_kedro.monitoring.thresholds import Threshold
from recsys_kedro.options import Options


class MonitoringOptions(Options):
    """What is looked at, and what is alarming."""

    as_of: AwareDatetime | None = Field(
        None, description="the latest window ends before it; empty: just after the last impression"
    )
    window_hours: int = Field(24, ge=1, description="length of a window, hours")
    reference_days: int = Field(
        28, ge=1, description="before the latest window; what is usual is taken from it"
    )
    attribution: AttributionOptions = AttributionOptions()
    slow_ms: float = Field(100, gt=0, description="an answer that takes longer is slow, ms")
    failures: tuple[str, ...] = Field(
        ("model_failed",), description="fallbacks that stand for an error of the model"
    )
    thresholds: dict[str, Threshold] = Field(
        default_factory=dict, description="by figure; what has none is never alarming"
    )
    webhook_url: SecretStr | None = Field(
        None, description="warnings and alerts are posted to it as JSON; empty: nowhere"
    )
    fail_on: Literal["alert", "warning", "never"] = Field(
        "alert", description="what makes the run fail, after everything is written"
    )

    @property
    def window(self) -> timedelta:
        """The length of a window."""
        return timedelta(hours=self.window_hours)

    @property
    def reference(self) -> timedelta:
        """How far back the reference goes."""
        return timedelta(days=self.reference_days)

    @field_validator("thresholds")
    @classmethod
    def _names_figures(cls, thresholds: dict[str, Threshold]) -> dict[str, Threshold]:
        unknown = sorted(set(thresholds) - set(FIGURES))
        if unknown:
            msg = (
                f"monitoring.thresholds: there is no figure {', '.join(map(repr, unknown))}, "
                f"only {', '.join(FIGURES)}"
            )
            raise ValueError(msg)
        return thresholds

    @model_validator(mode="after")
    def _reference_has_windows(self) -> Self:
        if self.reference < self.window:
            msg = (
                f"monitoring: a reference of {self.reference_days} days has no whole window of "
                f"{self.window_hours} hours; raise reference_days"
            )
            raise ValueError(msg)
        return self
