"""From lists to figures: the values of every user, their means, slices and differences."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys_kedro import columns as c
from recsys_kedro.metrics.beyond_accuracy import EXPOSURE_METRICS, LIST_METRICS, Catalogue
from recsys_kedro.metrics.evaluation import HEADLINE, Differences, Figure, Figures, best_baseline
from recsys_kedro.metrics.intervals import bootstrap_intervals
from recsys_kedro.metrics.lists import JudgedLists
from recsys_kedro.metrics.ranking import RANKING_METRICS
from recsys_kedro.pipelines.evaluation.options import EvaluationOptions


@dataclass(frozen=True)
class UserScores:
    """What every model scores for every user of a task.

    Attributes:
        users: (U) one row per user: ``user_id, history_length, segment``.
        metrics: names of the M figures, e.g. ``ndcg@10``.
        values: per model (U, M); NaN where a figure does not apply to a user.
    """

    users: pl.DataFrame
    metrics: tuple[str, ...]
    values: Mapping[str, NDArray[np.float64]]

    def where(self, condition: pl.Expr) -> "UserScores":
        """The users that meet the condition."""
        mask = self.users.select(condition).to_series().to_numpy()
        values = {model: values_UM[mask] for model, values_UM in self.values.items()}
        return UserScores(self.users.filter(condition), self.metrics, values)

    def only(self, metrics: tuple[str, ...]) -> "UserScores":
        """Some of the figures."""
        columns = [self.metrics.index(name) for name in metrics]
        values = {model: values_UM[:, columns] for model, values_UM in self.values.items()}
        return UserScores(self.users, metrics, values)

    def column(self, metric: str, model: str) -> NDArray[np.float64]:
        """(U,) one figure of one model."""
        return self.values[model][:, self.metrics.index(metric)]


def score_users(
    users: pl.DataFrame,
    judged: Mapping[str, JudgedLists],
    catalogue: Catalogue,
    ks: tuple[int, ...],
) -> UserScores:
    """Every metric that has a value per user, at every k, for every model."""
    values: dict[str, NDArray[np.float64]] = {}
    for model, lists in judged.items():
        ranking = [
            metric(lists.hits_UK, lists.relevant_U, k)
            for metric in RANKING_METRICS.values()
            for k in ks
        ]
        of_list = [
            metric(lists.products_UK, catalogue, k) for metric in LIST_METRICS.values() for k in ks
        ]
        values[model] = np.column_stack(ranking + of_list)
    names = tuple(f"{name}@{k}" for name in (*RANKING_METRICS, *LIST_METRICS) for k in ks)
    return UserScores(users, names, values)


def mean_figures(scores: UserScores, options: EvaluationOptions, seed: int) -> dict[str, Figures]:
    """The mean of every figure with its interval, by model. All models see the same draws."""
    stacked = np.concatenate(list(scores.values.values()), axis=1)
    intervals = iter(bootstrap_intervals(stacked, seed, options.resamples, options.confidence))
    return {
        model: {metric: Figure.of(next(intervals)) for metric in scores.metrics}
        for model in scores.values
    }


def exposure_figures(
    lists: JudgedLists, rows: NDArray[np.bool_], catalogue: Catalogue, ks: tuple[int, ...]
) -> Figures:
    """The figures of all lists together, without intervals."""
    products_UK = lists.products_UK[rows]
    figures: Figures = {}
    for name, metric in EXPOSURE_METRICS.items():
        for k in ks:
            value = metric(products_UK, catalogue, k)
            figures[f"{name}@{k}"] = Figure(value=None if np.isnan(value) else value)
    return figures


def differences_to_baseline(
    scores: UserScores, options: EvaluationOptions, seed: int
) -> Differences:
    """NDCG@10 minus the best baseline's, paired by user, with intervals."""
    if not scores.users.height:
        return Differences(baseline=None, models={})
    ndcg = {model: scores.column(HEADLINE, model) for model in scores.values}
    baseline = best_baseline({model: float(np.mean(value)) for model, value in ndcg.items()})
    if baseline is None:
        return Differences(baseline=None, models={})
    others = [model for model in ndcg if model != baseline]
    against = [ndcg[model] - ndcg[baseline] for model in others]
    stacked = np.column_stack(against) if against else np.empty((scores.users.height, 0))
    intervals = bootstrap_intervals(stacked, seed, options.resamples, options.confidence)
    models = dict(zip(others, map(Figure.of, intervals), strict=True))
    return Differences(baseline=baseline, models=models)


def user_groups(users: pl.DataFrame, column: str, minimum: int) -> pl.Series:
    """(U,) the group of each user by ``column``; groups below ``minimum`` users are merged."""
    large = users[column].drop_nulls().value_counts().filter(pl.col("count") >= minimum)[column]
    return users.select(
        pl.when(pl.col(column).is_null())
        .then(pl.lit("no " + column))
        .when(pl.col(column).is_in(large.to_list()))
        .then(pl.col(column))
        .otherwise(pl.lit(f"other {column}s"))
        .alias(c.SEGMENT)
    ).to_series()
