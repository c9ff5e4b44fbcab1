"""Node of the batch inference."""

import polars as pl

from recsys_kedro import columns as c
from recsys_kedro.features.options import FeatureOptions
from recsys_kedro.fitting import queries_at
from recsys_kedro.models.base import Recommender
from recsys_kedro.pipelines.inference.options import InferenceOptions
from recsys_kedro.serving.recommender import RecommenderService
from recsys_kedro.serving.snapshot import ServingSnapshot
from recsys_kedro.splits import TimeSplit

COLUMNS = (c.USER_ID, c.PRODUCT_ID, c.RANK, c.SCORE, c.SOURCE, c.REASON)


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
    """Lists of all users of the tables as of ``split.as_of``; quiet users get popular products."""
    snapshot = ServingSnapshot.of(events, products, product_features, user_features, split.as_of)
    service = RecommenderService(model, snapshot, split.as_of.isoformat())
    everybody = pl.concat([users.select(c.USER_ID), events.select(c.USER_ID)]).unique()
    active = everybody.join(events.select(c.USER_ID).unique(), on=c.USER_ID, how="semi")
    parts = []
    for batch in active.sort(c.USER_ID).iter_slices(options.users_at_once):
        queries = queries_at(batch, events, products, users, split.as_of, feature_options)
        best = service.explained(queries, options.k, exclude_seen=options.filter_purchased)
        asked = queries.requests.select(c.USER_ID, pl.int_range(pl.len()).alias(c.QUERY))
        parts.append(best.join(asked, on=c.QUERY, maintain_order="left").select(COLUMNS))
    quiet = everybody.join(active, on=c.USER_ID, how="anti").sort(c.USER_ID)
    parts.append(quiet.join(service.popular_list(options.k, None), how="cross").select(COLUMNS))
    return pl.concat(parts).sort(c.USER_ID, c.RANK)
