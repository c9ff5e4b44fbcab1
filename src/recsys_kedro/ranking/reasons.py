"""Why a product is recommended, in words for the shopper."""

import numpy as np
import polars as pl
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


def with_reasons(
    recommended: pl.DataFrame,
    queries: Queries,
    products: pl.DataFrame,
    vocabulary: Vocabulary | None = None,
    neighbours: sparse.csr_matrix | None = None,
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
    weeks = (pl.col("days") / 7).round().cast(pl.Int64)
    ago = (
        pl.when(pl.col("days") < 2)
        .then(pl.lit("in the last two days"))
        .when(pl.col("days") < 14)
        .then(pl.format("{} days ago", pl.col("days").floor().cast(pl.Int64)))
        .otherwise(pl.format("{} weeks ago", weeks))
    )
    goes_with = pl.format("Goes with {}", pl.col("past_name"))
    in_category = pl.col(c.CATEGORY).fill_null("the shop")
    return (
        pl.when((source == HISTORY) & pl.col("days").is_not_null())
        .then(pl.format("You had it {}", ago))
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
        .otherwise(pl.lit("Fits what you bought"))
    )


def _last_dealings(queries: Queries) -> pl.DataFrame:
    """``query, product_id, days``: since the user last had to do with the product."""
    return (
        queries.history.select(
            pl.lit(pl.Series(queries.rows)).alias(c.QUERY),
            c.PRODUCT_ID,
            pl.lit(pl.Series(queries.age_days)).alias("days"),
        )
        .group_by(c.QUERY, c.PRODUCT_ID)
        .agg(pl.col("days").min())
    )


def _nearest_past(
    rows: pl.DataFrame,
    queries: Queries,
    products: pl.DataFrame,
    vocabulary: Vocabulary | None,
    neighbours: sparse.csr_matrix | None,
) -> pl.DataFrame:
    """``row, past_name``: the most similar of the user's newest products, if any is similar."""
    schema = pl.Schema({"row": rows.schema["row"], "past_name": pl.String()})
    if vocabulary is None or neighbours is None or queries.history.is_empty():
        return pl.DataFrame(schema=schema)
    dealings = _last_dealings(queries).sort(c.QUERY, "days", c.PRODUCT_ID)
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
