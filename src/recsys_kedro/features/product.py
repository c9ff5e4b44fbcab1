"""Product features: one row per product, as of a time, on any engine."""

from datetime import datetime

import narwhals as nw

from recsys_kedro import columns as c
from recsys_kedro.features import columns as f
from recsys_kedro.features.options import FeatureOptions
from recsys_kedro.features.portable import Table, before, ratio, settled, utc, whole_days_until

WINDOW_DAYS = 30
WINDOWS = {
    (c.PRODUCT_VIEW, 1): f.VIEWS_1D,
    (c.PRODUCT_VIEW, 7): f.VIEWS_7D,
    (c.PRODUCT_VIEW, 30): f.VIEWS_30D,
    (c.PURCHASE, 1): f.PURCHASES_1D,
    (c.PURCHASE, 7): f.PURCHASES_7D,
    (c.PURCHASE, 30): f.PURCHASES_30D,
    (c.RETURN, 30): f.RETURNS_30D,
}

# Columns that live only between the steps below.
FIRST_EVENT, LAST_PURCHASE, LISTED = "first_event", "last_purchase", "listed"
EVENT_PRICE = "event_price"


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
    as_of = utc(as_of)
    past = events.filter(before(as_of))
    standing = _standing(past)
    return (
        _known(products, standing, as_of)
        .join(_latest_prices(past), on=c.PRODUCT_ID, how="left")
        .join(_window_counts(past, products, as_of), on=c.PRODUCT_ID, how="left")
        .select(c.PRODUCT_ID, *_attributes(), *_popularity(), *_ages(as_of, options))
        .sort(c.PRODUCT_ID)
    )


def _known(products: Table, standing: Table, as_of: datetime) -> Table:
    """The table's rows and the products that only events know, with their standing figures."""
    created = nw.col(c.CREATED_AT)
    known = created.is_null() | (created < nw.lit(as_of)) | ~nw.col(FIRST_EVENT).is_null()
    ids = nw.concat([products.select(c.PRODUCT_ID), standing.select(c.PRODUCT_ID)]).unique()
    return (
        ids.join(products, on=c.PRODUCT_ID, how="left")
        .join(standing, on=c.PRODUCT_ID, how="left")
        .filter(known)
    )


def _standing(past: Table) -> Table:
    """Figures over all the past, per product."""
    bought = nw.col(c.EVENT_TYPE) == c.PURCHASE
    return past.group_by(c.PRODUCT_ID).agg(
        nw.col(c.TIMESTAMP).min().alias(FIRST_EVENT),
        nw.when(bought).then(nw.col(c.TIMESTAMP)).max().alias(LAST_PURCHASE),
        bought.cast(nw.Int64).sum().alias(f.PURCHASES_ALL_TIME),
    )


def _latest_prices(past: Table) -> Table:
    priced = past.filter(~nw.col(c.PRICE).is_null(), nw.col(c.EVENT_TYPE) != c.RETURN).select(
        c.PRODUCT_ID, c.TIMESTAMP, nw.col(c.PRICE).alias(EVENT_PRICE)
    )
    latest = priced.group_by(c.PRODUCT_ID).agg(nw.col(c.TIMESTAMP).max())
    return (
        priced.join(latest, on=[c.PRODUCT_ID, c.TIMESTAMP])
        .group_by(c.PRODUCT_ID)
        .agg(nw.col(EVENT_PRICE).max())
    )


def _window_counts(past: Table, products: Table, as_of: datetime) -> Table:
    listed = products.select(c.PRODUCT_ID, nw.col(c.PRICE).alias(LISTED))
    counts = [
        ((nw.col(c.EVENT_TYPE) == kind) & before(as_of, days)).cast(nw.Int64).sum().alias(name)
        for (kind, days), name in WINDOWS.items()
    ]
    spent = nw.coalesce(nw.col(c.PRICE), nw.col(LISTED)) * nw.col(c.QUANTITY)
    revenue = nw.when(nw.col(c.EVENT_TYPE) == c.PURCHASE).then(spent).sum()
    return (
        past.filter(before(as_of, WINDOW_DAYS))
        .select(c.PRODUCT_ID, c.EVENT_TYPE, c.TIMESTAMP, c.PRICE, c.QUANTITY)
        .join(listed, on=c.PRODUCT_ID, how="left")
        .group_by(c.PRODUCT_ID)
        .agg(*counts, settled(revenue).alias(f.REVENUE_30D))
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
    at = {name: nw.col(name).fill_null(0) for name in WINDOWS.values()}
    views, purchases = at[f.VIEWS_30D], at[f.PURCHASES_30D]
    trend = nw.when(views > 0).then(at[f.VIEWS_7D] / views)
    return [
        *at.values(),
        nw.col(f.PURCHASES_ALL_TIME).fill_null(0),
        ratio(purchases, views).alias(f.CONVERSION_RATE),
        trend.otherwise(ratio(at[f.PURCHASES_7D], purchases)).alias(f.TRENDING_SCORE),
        nw.col(f.REVENUE_30D).fill_null(0.0),
    ]


def _ages(as_of: datetime, options: FeatureOptions) -> list[nw.Expr]:
    bought = whole_days_until(as_of, LAST_PURCHASE).clip(upper_bound=options.never_days)
    age = nw.coalesce(whole_days_until(as_of, c.CREATED_AT), whole_days_until(as_of, FIRST_EVENT))
    return [
        bought.fill_null(options.never_days).alias(f.DAYS_SINCE_LAST_PURCHASE),
        age.clip(lower_bound=0).alias(f.PRODUCT_AGE_DAYS),
    ]
