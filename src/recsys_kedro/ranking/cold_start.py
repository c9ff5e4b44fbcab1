"""What to show somebody of whom nothing is known."""

import polars as pl

from recsys_kedro import columns as c

POPULAR = "popular"


def popular_spread(
    popularity: pl.DataFrame, k: int, per_category: int = 2, exclude: pl.Series | None = None
) -> pl.DataFrame:
    """``product_id, rank, score, source``: popular products, spread over categories.

    At most ``per_category`` of a category come before products of others; then the rest, so
    that the list is as long as the catalogue allows.

    Args:
        popularity: ``product_id, category, score``; one row per product that can be shown.
        k: list length.
        per_category: how many of one category in a round.
        exclude: product ids that must not be shown.
    """
    shown = pl.lit(value=True)
    if exclude is not None:
        shown = ~pl.col(c.PRODUCT_ID).is_in(exclude.implode())
    place = pl.int_range(pl.len()).over(pl.col(c.CATEGORY).fill_null(""))
    return (
        popularity.filter(shown)
        .sort([c.SCORE, c.PRODUCT_ID], descending=[True, False])
        .with_columns((place // per_category).alias("round"))
        .sort(["round", c.SCORE, c.PRODUCT_ID], descending=[False, True, False])
        .head(k)
        .select(
            c.PRODUCT_ID,
            pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias(c.RANK),
            pl.col(c.SCORE).cast(pl.Float64),
            pl.lit(POPULAR).alias(c.SOURCE),
        )
    )
