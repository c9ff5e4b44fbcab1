"""Why a product is recommended, in words for the shopper."""

from typing import TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import sparse

from recsys_kedro import columns as c
from recsys_kedro.queries import Queries
from recsys_kedro.ranking.candidates import (
    CATEGORY,
    EASE,
    HISTORY,
    NEIGHBOURS,
    NEW,
    RETRIEVAL,
    TRENDING,
)
from recsys_kedro.ranking.cold_start import POPULAR
from recsys_kedro.vocabulary import Vocabulary

LIKE_HISTORY = (EASE, NEIGHBOURS, RETRIEVAL)
NEWEST_READ = 50
DAYS_PER_MONTH = 30.4
# Days since the user last bought the product, and since any event with it but a return.
BOUGHT, SEEN = "bought_days", "seen_days"
Similarity: TypeAlias = sparse.csr_matrix | NDArray[np.float32]


def with_reasons(
    recommended: pl.DataFrame,
    queries: Queries,
    products: pl.DataFrame,
    vocabulary: Vocabulary | None = None,
    neighbours: Similarity | None = None,
) -> pl.DataFrame:
    """The recommendations with a column ``reason``, in their order.

    Args:
        recommended: ``query, product_id, source`` and anything else.
        queries: what was asked.
        products: ``product_id, name, category``.
        vocabulary: the P products of ``neighbours``.
        neighbours: (P, P) similarity of products, rows are what the user had; where given, the
            past product that speaks most for the recommended one is named.
    """
    rows = recommended.with_row_index("row")
    described = (
        rows.join(products.select(c.PRODUCT_ID, c.CATEGORY), on=c.PRODUCT_ID, how="left")
        .join(_last_dealings(queries), on=[c.QUERY, c.PRODUCT_ID], how="left")
        .join(_nearest_past(rows, queries, products, vocabulary, neighbours), on="row", how="left")
        .sort("row")
    )
    return recommended.with_columns(described.select(_words().alias(c.REASON)).to_series())


def _words() -> pl.Expr:
    """One sentence per row, by source."""
    source = pl.col(c.SOURCE)
    goes_with = pl.format("Goes with {}", pl.col("past_name"))
    in_category = pl.col(c.CATEGORY).fill_null("the shop")
    return (
        pl.when((source == HISTORY) & pl.col(BOUGHT).is_not_null())
        .then(pl.format("You bought it {}", _ago(pl.col(BOUGHT))))
        .when((source == HISTORY) & pl.col(SEEN).is_not_null())
        .then(pl.format("You looked at it {}", _ago(pl.col(SEEN))))
        .when(source.is_in(LIKE_HISTORY) & pl.col("past_name").is_not_null())
        .then(goes_with)
        .when(source == TRENDING)
        .then(pl.lit("Popular right now"))
        .when(source == CATEGORY)
        .then(pl.format("Popular in {}", in_category))
        .when(source == NEW)
        .then(pl.format("New in {}", in_category))
        .when(source == POPULAR)
        .then(pl.lit("Popular in this shop"))
        .otherwise(pl.lit("Fits your taste"))
    )


def _ago(days: pl.Expr) -> pl.Expr:
    def count(unit: float) -> pl.Expr:
        return (days / unit).round().cast(pl.Int64)

    return (
        pl.when(days < 2)
        .then(pl.lit("in the last two days"))
        .when(days < 14)
        .then(pl.format("{} days ago", days.floor().cast(pl.Int64)))
        .when(days < 60)
        .then(pl.format("{} weeks ago", count(7)))
        .otherwise(pl.format("{} months ago", count(DAYS_PER_MONTH)))
    )


def _last_dealings(queries: Queries) -> pl.DataFrame:
    """``query, product_id`` with days since the user last bought it, and last dealt with it."""
    days = pl.col("days")
    return (
        queries.history.select(c.PRODUCT_ID, c.EVENT_TYPE)
        .with_columns(pl.Series(c.QUERY, queries.rows), pl.Series("days", queries.age_days))
        .filter(pl.col(c.EVENT_TYPE) != c.RETURN)
        .group_by(c.QUERY, c.PRODUCT_ID)
        .agg(
            days.filter(pl.col(c.EVENT_TYPE) == c.PURCHASE).min().alias(BOUGHT),
            days.min().alias(SEEN),
        )
    )


def _nearest_past(
    rows: pl.DataFrame,
    queries: Queries,
    products: pl.DataFrame,
    vocabulary: Vocabulary | None,
    neighbours: Similarity | None,
) -> pl.DataFrame:
    """``row, past_name``: the most similar of the user's newest products, if any is similar."""
    schema = pl.Schema({"row": rows.schema["row"], "past_name": pl.String()})
    if vocabulary is None or neighbours is None or queries.history.is_empty():
        return pl.DataFrame(schema=schema)
    dealings = _last_dealings(queries).sort(c.QUERY, SEEN, c.PRODUCT_ID)
    past = dealings.group_by(c.QUERY, maintain_order=True).head(NEWEST_READ)
    pairs = (
        rows.filter(pl.col(c.SOURCE).is_in(LIKE_HISTORY))
        .select("row", c.QUERY, c.PRODUCT_ID)
        .join(past.select(c.QUERY, past=pl.col(c.PRODUCT_ID)), on=c.QUERY)
        .filter(pl.col("past") != pl.col(c.PRODUCT_ID))
    )
    if pairs.is_empty():
        return pl.DataFrame(schema=schema)
    had, wanted = vocabulary.encode(pairs["past"]), vocabulary.encode(pairs[c.PRODUCT_ID])
    known = (had >= 0) & (wanted >= 0)
    similarity = np.zeros(pairs.height, np.float32)
    similarity[known] = np.asarray(neighbours[had[known], wanted[known]]).ravel()
    return (
        pairs.with_columns(pl.Series("similarity", similarity))
        .filter(pl.col("similarity") > 0)
        .sort(["row", "similarity", "past"], descending=[False, True, False])
        .group_by("row", maintain_order=True)
        .first()
        .join(products.select(past=c.PRODUCT_ID, past_name=c.NAME), on="past", how="left")
        .select("row", "past_name")
    )
