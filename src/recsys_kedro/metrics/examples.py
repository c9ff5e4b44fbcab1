"""Lists of single users, to be read by people."""

import polars as pl

from recsys_kedro import columns as c

TAKEN = "✓ "


def lists_side_by_side(
    recommendations: pl.DataFrame,
    truth: pl.DataFrame,
    products: pl.DataFrame,
    user_id: str,
    k: int = 10,
) -> pl.DataFrame:
    """What each model recommends to a user: one row per ``rank``, one column per model.

    A product is given by its name, or its id where it has none, with a tick if the user took it.

    Args:
        recommendations: ``model, user_id, product_id, rank`` of one task.
        truth: ``user_id, product_id`` of the same task.
        products: ``product_id, name``.
        user_id: whose lists.
        k: places.
    """
    taken = truth.filter(pl.col(c.USER_ID) == user_id)[c.PRODUCT_ID].implode()
    name = pl.coalesce(c.NAME, c.PRODUCT_ID)
    return (
        recommendations.filter(pl.col(c.USER_ID) == user_id, pl.col(c.RANK) <= k)
        .join(products.select(c.PRODUCT_ID, c.NAME), on=c.PRODUCT_ID, how="left")
        .with_columns(
            pl.when(pl.col(c.PRODUCT_ID).is_in(taken))
            .then(TAKEN + name)
            .otherwise(name)
            .alias(c.NAME)
        )
        .sort(c.RANK, c.MODEL)
        .pivot(on=c.MODEL, index=c.RANK, values=c.NAME)
    )
