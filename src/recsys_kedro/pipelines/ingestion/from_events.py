"""What the events tell of products and users that the shop has no table for."""

import polars as pl

from recsys_kedro import columns as c

TOLD_BY_EVENTS = (c.NAME, c.CATEGORY, c.SUBCATEGORY, c.BRAND)


def products_in(events: pl.DataFrame) -> pl.DataFrame:
    """One row per product of the events, sorted by it.

    ``name``, ``category``, ``subcategory``, ``brand``: the most frequent one in its events;
    ``price``: the median price of a piece over its events other than returns, shop's
    currency; ``created_at``: its first event.

    All of the log is used. A product is known from ``created_at`` on, its words being the
    shop's own label, which it carries from the start. The price is not known then: whoever
    needs a price as of a time takes it from the events before that time.
    """
    sold = pl.col(c.PRICE).filter(pl.col(c.EVENT_TYPE) != c.RETURN)
    table = events.group_by(c.PRODUCT_ID).agg(
        sold.median().alias(c.PRICE), pl.col(c.TIMESTAMP).min().alias(c.CREATED_AT)
    )
    for column in TOLD_BY_EVENTS:
        table = table.join(_most_frequent(events, column), on=c.PRODUCT_ID, how="left")
    return table.sort(c.PRODUCT_ID)


def users_in(events: pl.DataFrame) -> pl.DataFrame:
    """``user_id, created_at``: one row per user of the events, since the first of them."""
    return (
        events.group_by(c.USER_ID)
        .agg(pl.col(c.TIMESTAMP).min().alias(c.CREATED_AT))
        .sort(c.USER_ID)
    )


def fill_up(table: pl.DataFrame, told: pl.DataFrame, key: str) -> pl.DataFrame:
    """The shop's table with what it lacks, rows and values, from the events; sorted by key.

    Args:
        table: one row per ``key``; what it says comes first.
        told: one row per ``key``, some of the columns of ``table``.
        key: the id.
    """
    suffix = "_told"
    both = table.join(told, on=key, how="full", coalesce=True, suffix=suffix)
    values = [
        pl.coalesce(name, name + suffix).alias(name) if name + suffix in both.columns else name
        for name in table.columns
    ]
    return both.select(values).sort(key)


def _most_frequent(events: pl.DataFrame, column: str) -> pl.DataFrame:
    """``product_id`` and the most frequent value; of equally frequent ones the first by name."""
    return (
        events.filter(pl.col(column).is_not_null())
        .group_by(c.PRODUCT_ID, column)
        .agg(pl.len())
        .sort([c.PRODUCT_ID, "len", column], descending=[False, True, False])
        .unique(c.PRODUCT_ID, keep="first", maintain_order=True)
        .drop("len")
    )
