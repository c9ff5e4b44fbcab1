"""What an evaluation says: the shape of ``evaluation.json``."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from pydantic import BaseModel, ConfigDict

from recsys_kedro.metrics.intervals import Interval

SCHEMA_VERSION: Final = 1
HYBRID: Final = "hybrid"
HEADLINE_K: Final = 10
HEADLINE: Final = f"ndcg@{HEADLINE_K}"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Figure(_Part):
    """A mean over users with its bootstrap interval.

    ``low`` and ``high`` are empty where users cannot be resampled (coverage and Gini belong
    to all lists together); all three where the data does not give the figure.
    """

    value: float | None
    low: float | None = None
    high: float | None = None

    @classmethod
    def of(cls, interval: Interval) -> "Figure":
        """The interval with NaN as empty."""
        value, low, high = (None if bound != bound else bound for bound in interval)
        return cls(value=value, low=low, high=high)


Figures = dict[str, Figure]


class Slice(_Part):
    """The figures of some of the users, or about some of the products."""

    users: int
    models: dict[str, Figures]


class Differences(_Part):
    """NDCG@10 of each other model minus that of the best baseline, user by user."""

    baseline: str | None
    models: dict[str, Figure]


class TaskEvaluation(_Part):
    """One task. Headline: users with a target in the window and any event before the cut.

    Attributes:
        users: how many they are.
        models: figures by model, then by metric (``ndcg@10``).
        slices: by what is cut (``history_length``, ``products``, ``segment``), then by group.
            Users without any event before the cut are ``history_length`` 0 and nowhere else.
        differences: paired, on the headline users.
    """

    users: int
    models: dict[str, Figures]
    slices: dict[str, dict[str, Slice]]
    differences: Differences

    @property
    def ranking(self) -> list[str]:
        """The models, best NDCG@10 first."""
        return rank_models({name: self.headline(name) for name in self.models})

    def headline(self, model: str) -> float:
        """NDCG@10 of ``model``, 0 where there is none."""
        return self.models[model][HEADLINE].value or 0.0


class Evaluation(_Part):
    """Every model on every task, on the test window ``[cut, end)``."""

    schema_version: int
    cut: datetime
    end: datetime
    tasks: dict[str, TaskEvaluation]


def rank_models(figures: Mapping[str, float]) -> list[str]:
    """The models, highest figure first; equal ones by name."""
    return sorted(figures, key=lambda name: (-figures[name], name))


def best_baseline(ndcg: Mapping[str, float]) -> str | None:
    """The best of all models but the hybrid, or None if there is no other."""
    ranked = [name for name in rank_models(ndcg) if name != HYBRID]
    return ranked[0] if ranked else None
