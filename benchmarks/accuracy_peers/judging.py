"""One judge for all lists: values by user, means with intervals, paired differences."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys_kedro import columns as c
from recsys_kedro.fitting import SCORE, figures_of
from recsys_kedro.metrics.intervals import CONFIDENCE, RESAMPLES, Interval
from recsys_kedro.metrics.lists import judge_lists, truth_users
from recsys_kedro.metrics.ranking import RANKING_METRICS

PLACES = 10
METRICS: Final = {"ndcg@10": "ndcg", "hr@10": "hit_rate"}
WINDOW, SEED = "window", "seed"
_AT_ONCE = 10_000_000


def values_by_user(truth: pl.DataFrame, lists: pl.DataFrame) -> pl.DataFrame:
    """``task, user_id, ndcg@10, hr@10`` of one model's lists, for every user of the truth.

    Args:
        truth: ``task, user_id, product_id``.
        lists: ``task, user_id, product_id, rank``.
    """
    named = lists.with_columns(pl.lit("").alias(c.MODEL))
    parts = []
    for task in c.TASKS:
        in_task = pl.col(c.TASK) == task
        of_task = truth.filter(in_task)
        judged = judge_lists(of_task, named.filter(in_task), [""], PLACES)[""]
        values = {
            name: RANKING_METRICS[metric](judged.hits_UK, judged.relevant_U, PLACES)
            for name, metric in METRICS.items()
        }
        users = truth_users(of_task)[c.USER_ID]
        part = pl.DataFrame({c.USER_ID: users, **values})
        parts.append(part.select(pl.lit(task).alias(c.TASK), c.USER_ID, *METRICS))
    return pl.concat(parts)


def score_of(truth: pl.DataFrame, lists: pl.DataFrame) -> float:
    """What settings and steps are chosen by: NDCG@10, averaged over users, then over the tasks."""
    return figures_of(truth, lists.with_columns(pl.lit("").alias(c.MODEL)))[SCORE]


def best_step(truth: pl.DataFrame, lists: pl.DataFrame) -> tuple[int, float]:
    """The step whose lists score best, the first of equal ones, and its score.

    Args:
        truth: ``task, user_id, product_id``.
        lists: ``step, task, user_id, product_id, rank``.
    """
    scores = {
        step: score_of(truth, lists.filter(pl.col("step") == step))
        for step in lists["step"].unique().sort().to_list()
    }
    best = max(scores, key=scores.__getitem__)
    return best, scores[best]


def pooled(
    values: pl.DataFrame, task: str, metric: str, models: Sequence[str]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The user of each row, and its value by model; a row is a user in a window.

    Seeds are averaged first.

    Args:
        values: ``model, seed, window`` and the columns of :func:`values_by_user`.
        task, metric: of which figure.
        models: the columns of the result.

    Raises:
        ValueError: if a model lacks a row that another one has.
    """
    rows = (
        values.filter(pl.col(c.TASK) == task)
        .group_by(c.MODEL, WINDOW, c.USER_ID)
        .agg(pl.col(metric).mean())
        .pivot(on=c.MODEL, index=[WINDOW, c.USER_ID], values=metric)
        .sort(WINDOW, c.USER_ID)
    )
    matrix = rows.select(models)
    lacking = [name for name in models if matrix[name].null_count()]
    if lacking:
        msg = f"{lacking[0]}: not every judged user of every window has a value"
        raise ValueError(msg)
    codes = rows[c.USER_ID].rank("dense").to_numpy().astype(np.int64) - 1
    return codes, matrix.to_numpy().astype(np.float64)


def clustered_intervals(
    user_R: NDArray[np.int64],
    values_RM: NDArray[np.float64],
    seed: int,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
) -> list[Interval]:
    """The mean of each column over rows, with a percentile bootstrap interval over users.

    Users are drawn with replacement and bring all of their rows, so rows of one user may hang
    together. All columns see the same draws. Davison and Hinkley (1997), 3.8.

    Args:
        user_R: (R,) the user of each row, from 0.
        values_RM: (R, M).
        seed: the same seed gives the same intervals.
        resamples: how many times the users are drawn.
        confidence: share of the resampled means inside the interval.
    """
    if not len(user_R):
        return [Interval(np.nan, np.nan, np.nan)] * values_RM.shape[1]
    users = int(user_R.max()) + 1
    rows_U = np.bincount(user_R, minlength=users).astype(np.float64)
    sums_UM = np.zeros((users, values_RM.shape[1]))
    np.add.at(sums_UM, user_R, values_RM)
    generator = np.random.default_rng(seed)
    chances, block = np.full(users, 1.0 / users), max(1, _AT_ONCE // users)
    means = []
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        weights_BU = generator.multinomial(users, chances, size=size).astype(np.float64)
        means.append((weights_BU @ sums_UM) / (weights_BU @ rows_U)[:, np.newaxis])
    tail = (1 - confidence) / 2
    low_M, high_M = np.quantile(np.concatenate(means), (tail, 1 - tail), axis=0)
    mean_M = sums_UM.sum(axis=0) / rows_U.sum()
    return [
        Interval(float(mean), float(low), float(high))
        for mean, low, high in zip(mean_M, low_M, high_M, strict=True)
    ]


def intervals_of(
    values: pl.DataFrame, task: str, metric: str, models: Sequence[str], seed: int
) -> dict[str, Interval]:
    """The mean of each model."""
    user_R, values_RM = pooled(values, task, metric, models)
    found = clustered_intervals(user_R, values_RM, seed)
    return dict(zip(models, found, strict=True))


def differences_of(
    values: pl.DataFrame, task: str, metric: str, ours: str, models: Sequence[str], seed: int
) -> dict[str, Interval]:
    """``ours`` minus each other model, paired row by row."""
    others = [name for name in models if name != ours]
    user_R, values_RM = pooled(values, task, metric, [ours, *others])
    found = clustered_intervals(user_R, values_RM[:, :1] - values_RM[:, 1:], seed)
    return dict(zip(others, found, strict=True))
