"""Product features: one row per product, as of a time, on any engine."""

from datetime import datetime

import narwhals as nw

from recsys_kedro import columns as c
from recsys_kedro.features import columns as f
from recsys_kedro.features.options import FeatureOptions
from recsys_kedro.features.portable import (
    Table,
    highest_of_latest,
    ratio,
    settled,
    utc,
    whole_days_until,
)
from recsys_kedro.features.product_history import (
    EVENT_PRICE,
    FIRST_EVENT,
    LAST_PRICED,
    LAST_PURCHASE,
    PAID,
    PURCHASES,
    RETURNS,
    UNPRICED_PIECES,
    VIEWS,
    ProductHistory,
)

OF_EVENTS = "product_id_of_events"  # lives only in a join
REVENUE_DAYS = 30
WINDOWS = {
    (VIEWS, 1): f.VIEWS_1D,
    (VIEWS, 7): f.VIEWS_7D,
    (VIEWS, 30): f.VIEWS_30D,
    (PURCHASES, 1): f.PURCHASES_1D,
    (PURCHASES, 7): f.PURCHASES_7D,
    (PURCHASES, 30): f.PURCHASES_30D,
    (RETURNS, 30): f.RETURNS_30D,
}


def product_features(
    events: Table, products: Table, as_of: datetime, options: FeatureOptions
) -> Table:
    """One row per known product, sorted by ``product_id``, as of ``as_of`` (exclusive).

    Known: created before ``as_of``, or without ``created_at``, or with an event before it.

    - ``name, category, subcategory, brand`` and ``in_stock`` stand as the table has them now,
      not as of ``as_of``; unknown stock counts as in stock.
    - ``price``: of the latest event that carries one (returns aside; the highest of the same
      time), else the list price, which is the current one; empty where neither is known.
      ``log_price`` = ln(1 + price). Shop's currency.
    - ``views_*``, ``purchases_*``, ``returns_30d``: event counts (not pieces) of the last 1, 7
      and 30 days and of all time.
    - ``conversion_rate`` = purchases / views over 30 days; a denominator of 0 counts as 1.
    - ``trending_score`` = 7 days / 30 days, of views where the product has any, else of
      purchases; 0 without either. 7 / 30 means steady demand.
    - ``revenue_30d``: price times pieces of the purchases, returns not taken off.
    - ``days_since_last_purchase``: whole days; at most ``options.never_days``, which also
      stands for never.
    - ``product_age_days``: whole days since ``created_at``, or since the first event where that
      is empty; never negative, empty where neither is known.

    Raises:
        ValueError: if ``as_of`` has no time zone.
    """
    return product_features_of(ProductHistory.of(events, [as_of]), products, as_of, options)


def product_features_of(
    history: ProductHistory, products: Table, as_of: datetime, options: FeatureOptions
) -> Table:
    """:func:`product_features` as of one of the times of ``history``.

    Raises:
        ValueError: if ``as_of`` has no time zone or is not one of them.
    """
    as_of = utc(as_of)
    return (
        _known(products, _figures(history, as_of), as_of)
        .select(c.PRODUCT_ID, *_attributes(), *_popularity(), *_ages(as_of, options))
        .sort(c.PRODUCT_ID)
    )


def _known(products: Table, figures: Table, as_of: datetime) -> Table:
    """The table's rows and the products that only events know, with what their events say."""
    created = nw.col(c.CREATED_AT)
    known = created.is_null() | (created < nw.lit(as_of)) | ~nw.col(FIRST_EVENT).is_null()
    either = nw.coalesce(nw.col(c.PRODUCT_ID), nw.col(OF_EVENTS)).alias(c.PRODUCT_ID)
    return (
        products.join(
            figures.rename({c.PRODUCT_ID: OF_EVENTS}),
            how="full",
            left_on=c.PRODUCT_ID,
            right_on=OF_EVENTS,
        )
        .filter(known)
        .with_columns(either)
    )


def _figures(history: ProductHistory, as_of: datetime) -> Table:
    """One row per product with events before ``as_of``.

    The past is chosen in the sums: a filter before them would differ between times, and an
    engine could no longer share one history among the plans of several.
    """
    past = nw.when(history.before(as_of))
    recent = nw.when(history.before(as_of, REVENUE_DAYS))
    standing = (FIRST_EVENT, LAST_PURCHASE, LAST_PRICED, EVENT_PRICE)
    counts = [
        nw.when(history.before(as_of, days)).then(nw.col(count)).sum().alias(name)
        for (count, days), name in WINDOWS.items()
    ]
    return (
        history.table.with_columns(past.then(nw.col(name)).alias(name) for name in standing)
        .group_by(c.PRODUCT_ID)
        .agg(
            *counts,
            past.then(nw.col(PURCHASES)).sum().alias(f.PURCHASES_ALL_TIME),
            *(recent.then(nw.col(name)).sum().alias(name) for name in (PAID, UNPRICED_PIECES)),
            nw.col(FIRST_EVENT).min(),
            nw.col(LAST_PURCHASE).max(),
            highest_of_latest(history.table, EVENT_PRICE, LAST_PRICED),
        )
        .filter(~nw.col(FIRST_EVENT).is_null())
    )


def _attributes() -> list[nw.Expr]:
    price = nw.coalesce(nw.col(EVENT_PRICE), nw.col(c.PRICE))
    return [
        *(nw.col(name) for name in (c.NAME, c.CATEGORY, c.SUBCATEGORY, c.BRAND)),
        price.alias(c.PRICE),
        (price + 1).log().alias(f.LOG_PRICE),
        (nw.col(c.STOCK_QUANTITY).fill_null(1) > 0).alias(f.IN_STOCK),
    ]


def _popularity() -> list[nw.Expr]:
    counts = (*WINDOWS.values(), f.PURCHASES_ALL_TIME)
    at = {name: nw.col(name).fill_null(0).cast(nw.Int64) for name in counts}
    unpriced = nw.col(UNPRICED_PIECES) * nw.col(c.PRICE)
    revenue = nw.col(PAID).fill_null(0.0) + unpriced.fill_null(0.0)
    views, purchases = at[f.VIEWS_30D], at[f.PURCHASES_30D]
    trend = nw.when(views > 0).then(at[f.VIEWS_7D] / views)
    return [
        *at.values(),
        ratio(purchases, views).alias(f.CONVERSION_RATE),
        trend.otherwise(ratio(at[f.PURCHASES_7D], purchases)).alias(f.TRENDING_SCORE),
        settled(revenue).alias(f.REVENUE_30D),
    ]


def _ages(as_of: datetime, options: FeatureOptions) -> list[nw.Expr]:
    bought = whole_days_until(as_of, LAST_PURCHASE).clip(upper_bound=options.never_days)
    age = nw.coalesce(whole_days_until(as_of, c.CREATED_AT), whole_days_until(as_of, FIRST_EVENT))
    return [
        bought.fill_null(options.never_days).alias(f.DAYS_SINCE_LAST_PURCHASE),
        age.clip(lower_bound=0).alias(f.PRODUCT_AGE_DAYS),
    ]
