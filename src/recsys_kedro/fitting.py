"""What the three fits share: their data, their queries, and how settings are chosen.

train -> validation chooses; train + validation -> test scores once; everything -> is served.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import polars as pl
from pydantic import Field

from recsys_kedro import columns as c
from recsys_kedro.features import columns as f
from recsys_kedro.features.options import FeatureOptions
from recsys_kedro.features.profiles import with_profiles
from recsys_kedro.metrics.lists import ndcg_by_user
from recsys_kedro.models.base import Recommender, TrainingData, Validation
from recsys_kedro.models.registry import MODELS
from recsys_kedro.options import Options
from recsys_kedro.queries import Queries, build_queries
from recsys_kedro.splits import TimeSplit, window_requests
from recsys_kedro.training_lists import TrainingLists

LIST_LENGTH = 50
CHOSEN_AT = 10
SCORE = f"mean_ndcg@{CHOSEN_AT}"


class Choice(Options):
    """What validation chose for one model.

    ``figures`` holds NDCG@10 per task and their mean, by which settings and epochs are chosen.
    """

    model: str
    settings: dict[str, Any] = Field(description="the options to fit again with")
    figures: dict[str, float] = Field(description="of the chosen settings, on validation")
    trials: list[dict[str, Any]] = Field(description="all settings that were tried, with figures")
    epochs: list[dict[str, float]] = Field(description="losses and figures by epoch, if it has any")


def training_data(
    events: pl.DataFrame,
    products: pl.DataFrame,
    users: pl.DataFrame,
    product_snapshots: pl.DataFrame,
    lists: TrainingLists,
    split: TimeSplit,
    cut: datetime,
    validation: Validation | None = None,
) -> TrainingData:
    """Everything strictly before ``cut``.

    Left out are events, products and users from then on, product snapshots after it, and
    training lists whose labels end after it.
    """
    known = pl.col(c.CREATED_AT).is_null() | (pl.col(c.CREATED_AT) < cut)
    return TrainingData(
        events=events.filter(pl.col(c.TIMESTAMP) < cut),
        products=products.filter(known),
        users=users.filter(known),
        cut=cut,
        target_event_types=split.target_event_types,
        product_snapshots=product_snapshots.filter(pl.col(f.SNAPSHOT_TIME) <= cut),
        lists=lists.known_at(cut),
        validation=validation,
    )


def data_for_choosing(
    events: pl.DataFrame,
    products: pl.DataFrame,
    users: pl.DataFrame,
    product_snapshots: pl.DataFrame,
    lists: TrainingLists,
    split: TimeSplit,
    queries: Queries,
    truth: pl.DataFrame,
) -> TrainingData:
    """Everything before the validation window, and that window's queries and truth to choose by."""
    tables = (events, products, users, product_snapshots)
    validation = Validation(queries, truth)
    return training_data(*tables, lists, split, split.validation_start, validation)


def queries_at(
    users_asked: pl.DataFrame,
    events: pl.DataFrame,
    products: pl.DataFrame,
    users: pl.DataFrame,
    cut: datetime,
    options: FeatureOptions,
) -> Queries:
    """One query as of ``cut`` for each distinct ``user_id`` in ``users_asked``, with profiles."""
    past = events.filter(pl.col(c.TIMESTAMP) < cut)
    requests = window_requests(users_asked, cut)
    return build_queries(past, with_profiles(requests, past, products, users, cut, options))


def recommend_tasks(model: Recommender, queries: Queries) -> pl.DataFrame:
    """``task, model, user_id, product_id, rank, score``: 50 ranks per user, for both tasks."""
    asked = queries.requests.select(c.USER_ID, pl.int_range(pl.len()).alias(c.QUERY))
    parts = []
    for task in c.TASKS:
        best = model.recommend(queries, LIST_LENGTH, exclude_seen=task == c.TASK_NEW)
        named = best.join(asked, on=c.QUERY, how="left", maintain_order="left")
        labels = (pl.lit(task).alias(c.TASK), pl.lit(model.name).alias(c.MODEL))
        parts.append(named.select(*labels, c.USER_ID, c.PRODUCT_ID, c.RANK, c.SCORE))
    return pl.concat(parts)


def started_users(truth: pl.DataFrame, events: pl.DataFrame, cut: datetime) -> pl.DataFrame:
    """The rows of the truth whose users had any event before ``cut``: the headline's users."""
    past = events.filter(pl.col(c.TIMESTAMP) < cut).select(c.USER_ID).unique()
    return truth.join(past, on=c.USER_ID, how="semi")


def figures_of(truth: pl.DataFrame, recommendations: pl.DataFrame) -> dict[str, float]:
    """NDCG@10 per task, averaged over its users, and the mean of the tasks."""
    by_user = ndcg_by_user(truth, recommendations, CHOSEN_AT)
    means = dict(by_user.group_by(c.TASK).agg(pl.col("ndcg").mean()).iter_rows())
    figures = {f"{task}_ndcg@{CHOSEN_AT}": float(means.get(task, 0.0)) for task in c.TASKS}
    return {**figures, SCORE: sum(figures.values()) / len(figures)}


def fit_model(name: str, settings: Mapping[str, Any], data: TrainingData, seed: int) -> Recommender:
    """Fit a model of the registry with settings as they stand in a :class:`Choice`."""
    kind = MODELS[name]
    return kind.fit(data, kind.options_type.model_validate(settings), seed)


def choose_settings(
    name: str, settings: Sequence[Options], data: TrainingData, seed: int
) -> tuple[Choice, pl.DataFrame]:
    """Fit every setting on the training data and keep the best on validation.

    Returns:
        The choice, and the chosen setting's recommendations for the validation users.

    Raises:
        ValueError: if the data has no validation.
    """
    if data.validation is None:
        msg = f"{name}: settings can only be chosen with validation data"
        raise ValueError(msg)
    queries = data.validation.queries
    truth = started_users(data.validation.truth, data.events, data.cut)
    data = replace(data, validation=Validation(queries, truth))
    tried = []
    for options in settings:
        model = MODELS[name].fit(data, options, seed)
        recommendations = recommend_tasks(model, queries)
        figures = figures_of(truth, recommendations)
        fitted = json.loads(getattr(model, "options", options).model_dump_json())
        epochs = getattr(model, "epochs", [])
        tried.append((figures, fitted, epochs, recommendations))
    figures, fitted, epochs, recommendations = max(tried, key=lambda trial: trial[0][SCORE])
    trials = [{"settings": trial[1], "figures": trial[0]} for trial in tried]
    choice = Choice(model=name, settings=fitted, figures=figures, trials=trials, epochs=epochs)
    return choice, recommendations
