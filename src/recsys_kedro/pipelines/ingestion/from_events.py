"""What the events tell of products and users that the shop has no table for."""

import polars as pl

from recsys_kedro import columns as c

TOLD_BY_EVENTS = (c.NAME, c.CATEGORY, c.SUBCATEGORY, c.BRAND)


def products_in(events: pl.LazyFrame) -> pl.DataFrame:
    """One row per product of the events, sorted by it.

    ``name``, ``category``, ``subcategory``, ``brand``: the most frequent one in its events;
    ``price``: the median price of a piece over its events other than returns, shop's
    currency; ``created_at``: its first event.

    All of the log is used. A product is known from ``created_at`` on, its words being the
    shop's own label, which it carries from the start. The price is not known then: whoever
    needs a price as of a time takes it from the events before that time.

    The events stream: memory holds how often each product had each price and each word.
    """
    table = _first_times(events, c.PRODUCT_ID)
    table = table.join(_median_prices(events), on=c.PRODUCT_ID, how="left")
    for column in TOLD_BY_EVENTS:
        table = table.join(_most_frequent(events, column), on=c.PRODUCT_ID, how="left")
    return table.sort(c.PRODUCT_ID)


def users_in(events: pl.LazyFrame) -> pl.DataFrame:
    """``user_id, created_at``: one row per user of the events, since the first of them."""
    return _first_times(events, c.USER_ID).sort(c.USER_ID)


def _first_times(events: pl.LazyFrame, key: str) -> pl.DataFrame:
    first = pl.col(c.TIMESTAMP).min().alias(c.CREATED_AT)
    return events.group_by(key).agg(first).collect(engine="streaming")


def _median_prices(events: pl.LazyFrame) -> pl.DataFrame:
    """``product_id, price``; of an even number of prices the mean of the two in the middle."""
    sold = events.filter(pl.col(c.EVENT_TYPE) != c.RETURN, pl.col(c.PRICE).is_not_null())
    reached = pl.col("len").cum_sum().over(c.PRODUCT_ID)
    halves = pl.col("len").sum().over(c.PRODUCT_ID) + 1
    # Of n sorted prices the places (n + 1) // 2 and (n + 2) // 2 are the middle.
    holds = [
        (reached >= place) & (reached - pl.col("len") < place)
        for place in (halves // 2, (halves + 1) // 2)
    ]
    return (
        _counted(sold, c.PRICE)
        .sort(c.PRODUCT_ID, c.PRICE)
        .filter(holds[0] | holds[1])
        .group_by(c.PRODUCT_ID)
        .agg(pl.col(c.PRICE).median())
    )


def _counted(events: pl.LazyFrame, column: str) -> pl.DataFrame:
    """``product_id``, ``column`` and ``len``: in how many events the product has the value."""
    return (
        events.group_by(c.PRODUCT_ID, column)
        .agg(pl.len().cast(pl.Int64))
        .collect(engine="streaming")
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


def _most_frequent(events: pl.LazyFrame, column: str) -> pl.DataFrame:
    """``product_id`` and the most frequent value; of equally frequent ones the first by name."""
    return (
        _counted(events.filter(pl.col(column).is_not_null()), column)
        .sort([c.PRODUCT_ID, "len", column], descending=[False, True, False])
        .unique(c.PRODUCT_ID, keep="first", maintain_order=True)
        .drop("len")
    )
