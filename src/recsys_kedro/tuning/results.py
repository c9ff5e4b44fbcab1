"""What a study found: the shape of ``tuning.json``."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import Field

from recsys_kedro.metrics.evaluation import Figure
from recsys_kedro.options import Options


class Ending(StrEnum):
    """How a finished trial ended."""

    COMPLETE = "complete"
    PRUNED = "pruned"


class Trial(Options):
    """One finished trial."""

    number: int = Field(description="in the study; trials that were killed leave gaps")
    ending: Ending
    preset: int | None = Field(description="its place in models.<model>; empty: it was drawn")
    values: dict[str, Any] = Field(description="of the options that are tuned, by dotted name")
    settings: dict[str, Any] = Field(description="all that was fitted with, but for defaults")
    score: float | None = Field(description="mean NDCG@10 of both tasks; empty: ended early")
    epochs: list[dict[str, float]] = Field(description="losses and figures by epoch, if any")
    started: datetime = Field(description="UTC")
    seconds: float = Field(description="from the start to the score, validation included")


class TuningResult(Options):
    """All trials of a study, and what the best gains over the default.

    ``default`` is the best of the settings in ``models.<model>``: what the training would choose.
    """

    shop: str
    study: str
    model: str
    users: int = Field(description="of the validation window, who were scored")
    trials: list[Trial] = Field(description="in the order in which they finished")
    default: int = Field(description="number of the default's trial")
    best: int = Field(description="number of the best trial")
    gain: Figure = Field(description="mean NDCG@10, best minus default, paired by user")
    confidence: float
    importance: dict[str, float] = Field(
        description="share of each option in the variance of the scores; empty: too few trials"
    )

    def trial(self, number: int) -> Trial:
        """The trial of that number."""
        return next(trial for trial in self.trials if trial.number == number)

    @property
    def gains(self) -> bool:
        """Whether the interval of the gain lies above zero."""
        return (self.gain.low or 0.0) > 0

    @property
    def verdict(self) -> str:
        """In words, for people."""
        if self.best == self.default:
            return "No trial is better than the default settings: keep them."
        value, low, high = self.gain.value or 0.0, self.gain.low or 0.0, self.gain.high or 0.0
        told = f"{value:+.4f} ({self.confidence:.0%} interval {low:+.4f} to {high:+.4f})"
        if self.gains:
            return f"The best trial gains {told} over the default on the validation window."
        return (
            f"The best trial gains {told} over the default. The interval contains zero: "
            "it may be chance, keep the default."
        )


def count_endings(trials: Sequence[Trial]) -> dict[str, int]:
    """How many trials ended how."""
    return {str(end): sum(trial.ending is end for trial in trials) for end in Ending}
