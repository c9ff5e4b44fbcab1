"""Nodes of the batch inference."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl

from recsys_kedro import columns as c
from recsys_kedro.features.options import FeatureOptions
from recsys_kedro.fitting import queries_at
from recsys_kedro.model_registry import champion_model
from recsys_kedro.models.base import Recommender
from recsys_kedro.pipelines.inference.options import InferenceOptions
from recsys_kedro.ranking.rules import Rules
from recsys_kedro.serving.model_slates import ModelSlates
from recsys_kedro.serving.slates import SlateMaker
from recsys_kedro.serving.snapshot import ServingSnapshot
from recsys_kedro.serving.telemetry import Telemetry
from recsys_kedro.splits import TimeSplit

COLUMNS = (c.USER_ID, c.PRODUCT_ID, c.RANK, c.SCORE, c.SOURCE, c.REASON)


def read_champion_model(shop: str, registration: dict[str, Any]) -> Recommender:
    """The champion out of the model registry: what also answers requests.

    ``registration`` is not read: it makes a run register its model first.
    """
    return champion_model(shop)


def recommend_to_all(
    model: Recommender,
    events: pl.DataFrame,
    products: pl.DataFrame,
    users: pl.DataFrame,
    product_features: pl.DataFrame,
    user_features: pl.DataFrame,
    split: TimeSplit,
    options: InferenceOptions,
    feature_options: FeatureOptions,
) -> pl.DataFrame:
    """Lists of the users of the tables as of ``split.as_of``, sorted by user and rank.

    All users, or those of one partition; what is popular counts them all either way. Users
    without events, and those for whom the model has nothing, get popular products.
    """
    snapshot = ServingSnapshot.of(events, products, product_features, user_features, split.as_of)
    maker = SlateMaker.of(model, snapshot.products, Rules(), options.diversity)
    slates = ModelSlates(maker, Telemetry())
    ours = pl.col(c.USER_ID).hash() % options.partitions == options.partition
    past = events.filter(ours & (pl.col(c.TIMESTAMP) < split.as_of))
    popular = slates.popular_list(options.k).drop(c.QUERY)
    parts = [popular.clear().select(pl.lit("").alias(c.USER_ID), pl.all())]  # if there is nobody
    for block in events_by_users(past, options.users_at_once):
        asked = block.select(c.USER_ID)
        queries = queries_at(asked, block, products, users, split.as_of, feature_options)
        best = slates.lists(queries, options.k, filter_purchased=options.filter_purchased)
        names = queries.requests.select(c.USER_ID, pl.int_range(pl.len()).alias(c.QUERY))
        parts.append(best.join(names, on=c.QUERY, maintain_order="left").select(COLUMNS))
    lists = pl.concat(parts)
    everybody = pl.concat([users.select(c.USER_ID), events.select(c.USER_ID)]).unique()
    without = everybody.filter(ours).join(lists, on=c.USER_ID, how="anti")
    return pl.concat([lists, without.join(popular, how="cross").select(COLUMNS)]).sort(
        c.USER_ID, c.RANK
    )


def events_by_users(events: pl.DataFrame, users_at_once: int) -> Iterator[pl.DataFrame]:
    """The events of some users at a time, in the order of the users; each user is in one part."""
    by_user = events.sort(c.USER_ID, maintain_order=True)
    ends = np.cumsum(by_user[c.USER_ID].rle().struct.field("len").to_numpy()).tolist()
    borders = [0, *ends[users_at_once - 1 : -1 : users_at_once], *ends[-1:]]
    for first, last in pairwise(borders):
        yield by_user[first:last]
