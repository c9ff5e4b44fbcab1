"""Parameters of the tuning."""

from pathlib import Path
from typing import Any, Self

from pydantic import Field, model_validator

from recsys_kedro.metrics.intervals import CONFIDENCE, RESAMPLES
from recsys_kedro.models.registry import MODELS
from recsys_kedro.options import Options
from recsys_kedro.tuning.space import Dimension, dimensions_of


class PruningOptions(Options):
    """When a trial is ended early: below the median of earlier trials at the same epoch."""

    enabled: bool = True
    after_trials: int = Field(4, ge=1, description="complete trials, before any is ended early")
    after_epochs: int = Field(1, ge=1, description="epochs that every trial gets")


class TuningOptions(Options):
    """Which model's settings are searched, where, and for how long."""

    model: str = Field("hybrid", description="the model that is tuned")
    trials: int = Field(20, ge=1, description="finished trials in all, those of earlier runs too")
    random_trials: int = Field(
        8, ge=0, description="drawn evenly from the space before the search learns from scores"
    )
    pruning: PruningOptions = PruningOptions()
    folder: Path = Field(description="of this machine, where studies are kept and taken up again")
    resamples: int = Field(RESAMPLES, ge=1, description="of the gain's bootstrap interval")
    confidence: float = Field(CONFIDENCE, gt=0, lt=1, description="of that interval")
    space: dict[str, dict[str, Any]] = Field(
        description="by model: its options with {choices} or {low, high, log} in place of a value"
    )

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        for name in (*self.space, self.model):
            if name not in MODELS:
                msg = f"tuning: there is no model '{name}'; there are {', '.join(sorted(MODELS))}"
                raise ValueError(msg)
            if not self.dimensions(name):
                msg = f"tuning.space.{name}: nothing to tune; name an option of the model"
                raise ValueError(msg)
        return self

    def dimensions(self, model: str) -> dict[str, Dimension]:
        """What is tuned of a model."""
        space = self.space.get(model, {})
        return dimensions_of(MODELS[model].options_type, space, f"tuning.space.{model}")
