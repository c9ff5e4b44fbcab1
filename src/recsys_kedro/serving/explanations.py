"""The lists of any model with what proposed each product, and why, in words."""

import polars as pl

from recsys_kedro import columns as c
from recsys_kedro.models.base import CatalogueScorer, Recommender
from recsys_kedro.models.ease import EASE
from recsys_kedro.models.hybrid import Hybrid
from recsys_kedro.models.item_knn import ItemKNN
from recsys_kedro.models.own_history import OwnHistory
from recsys_kedro.models.popularity import Popularity, RecentPopularity
from recsys_kedro.queries import Queries
from recsys_kedro.ranking.candidates import EASE as BY_EASE
from recsys_kedro.ranking.candidates import HISTORY, NEIGHBOURS, RETRIEVAL, TRENDING
from recsys_kedro.ranking.cold_start import POPULAR
from recsys_kedro.ranking.reasons import Similarity, with_reasons
from recsys_kedro.ranking.scorers import TAKEN
from recsys_kedro.vocabulary import Vocabulary

NATURES = {
    Popularity.name: POPULAR,
    RecentPopularity.name: TRENDING,
    OwnHistory.name: POPULAR,  # what the user never had is ordered by popularity
    ItemKNN.name: NEIGHBOURS,
    EASE.name: BY_EASE,
}
BLIND_TO_THE_USER = (Popularity.name, RecentPopularity.name)


def recommend_explained(
    model: Recommender, queries: Queries, products: pl.DataFrame, k: int, *, exclude_seen: bool
) -> pl.DataFrame:
    """The model's lists with ``source`` and ``reason``.

    Args:
        model: any model; one that does not name its sources has one, by its nature, beside
            ``history`` for what the user had taken.
        queries: Q queries.
        products: ``product_id, name, category``.
        k: list length.
        exclude_seen: leave out what the user has taken.
    """
    best = model.recommend(queries, k, exclude_seen=exclude_seen)
    if c.SOURCE not in best.columns:
        best = _with_source(model, best, queries)
    vocabulary, similarity = similarity_of(model)
    return with_reasons(best, queries, products, vocabulary, similarity)


def similarity_of(model: Recommender) -> tuple[Vocabulary | None, Similarity | None]:
    """The model's products and how much one of them (row) speaks for another (column)."""
    match model:
        case Hybrid():
            snapshot = model.snapshot
            return snapshot.vocabulary, snapshot.scorers.neighbours[TAKEN]
        case ItemKNN():
            return model.vocabulary, model.neighbours
        case EASE():
            return model.vocabulary, model.weights
    return None, None


def _with_source(model: Recommender, best: pl.DataFrame, queries: Queries) -> pl.DataFrame:
    nature = pl.lit(NATURES.get(model.name, RETRIEVAL))
    if not isinstance(model, CatalogueScorer) or model.name in BLIND_TO_THE_USER:
        return best.with_columns(nature.alias(c.SOURCE))
    taken = (
        queries.history.select(c.PRODUCT_ID, c.EVENT_TYPE)
        .with_columns(pl.Series(c.QUERY, queries.rows))
        .filter(pl.col(c.EVENT_TYPE).is_in(list(model.target_event_types)))
        .select(c.QUERY, c.PRODUCT_ID, pl.lit(HISTORY).alias(HISTORY))
        .unique()
    )
    known = best.join(taken, on=[c.QUERY, c.PRODUCT_ID], how="left", maintain_order="left")
    return known.select(*best.columns, pl.coalesce(HISTORY, nature).alias(c.SOURCE))
