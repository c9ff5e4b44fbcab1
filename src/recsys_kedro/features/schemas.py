"""The feature tables' part of the data dictionary."""

from typing import Any

import pandera.polars as pa
import polars as pl

from recsys_kedro import columns as c
from recsys_kedro.features import columns as f
from recsys_kedro.schemas import UTC_TIME

NOT_NEGATIVE = pa.Check.ge(0)
SHARE = pa.Check.in_range(0, 1)


def _column(dtype: Any, description: str, *checks: pa.Check, nullable: bool = False) -> pa.Column:
    return pa.Column(dtype, description=description, checks=list(checks), nullable=nullable)


def _text(description: str) -> pa.Column:
    return _column(pl.String, description, nullable=True)


def _count(description: str) -> pa.Column:
    return _column(pl.Int64, description, NOT_NEGATIVE)


def _figure(description: str) -> pa.Column:
    return _column(pl.Float64, description, NOT_NEGATIVE)


_TOP_CATEGORIES = {
    name: column
    for rank, (category, count) in enumerate(
        zip(f.TOP_CATEGORIES, f.TOP_CATEGORY_COUNTS, strict=True), start=1
    )
    for name, column in (
        (category, _text(f"category with the most events, place {rank}; empty: fewer categories")),
        (count, _count(f"events in top_category_{rank}")),
    )
}

USER_FEATURES = pa.DataFrameSchema(
    {
        c.USER_ID: pa.Column(pl.String, unique=True, description="who"),
        f.TOTAL_VIEWS: _count("product views in the window"),
        f.TOTAL_CLICKS: _count("clicks in the window"),
        f.TOTAL_ADD_TO_CART: _count("additions to the cart in the window"),
        f.TOTAL_PURCHASES: _count("purchase lines in the window"),
        f.TOTAL_RETURNS: _count("returned lines in the window"),
        f.CLICK_THROUGH_RATE: _figure("clicks / max(views, 1)"),
        f.PURCHASE_RATE: _figure("purchases / max(clicks, 1)"),
        **_TOP_CATEGORIES,
        f.HAS_PURCHASE_PRICE: _column(pl.Boolean, "any purchase with a price in the window"),
        f.AVG_PURCHASE_PRICE: _figure("mean price of the purchases, shop's currency; 0: none"),
        f.MEDIAN_PURCHASE_PRICE: _figure("median price of the purchases; 0: none"),
        f.PRICE_STD: _figure("sample standard deviation of the prices; 0: fewer than two"),
        f.PEAK_HOUR: _column(
            pl.Int64, "UTC hour with the most events; -1: none", pa.Check.in_range(-1, 23)
        ),
        f.HOUR_CONCENTRATION: _column(pl.Float64, "share of events in the peak hour", SHARE),
        f.PEAK_DAY: _column(
            pl.Int64, "weekday with the most events, Monday 0; -1: none", pa.Check.in_range(-1, 6)
        ),
        f.AVG_SESSION_LENGTH: _figure("events a session"),
        f.AVG_PRODUCTS_PER_SESSION: _figure("distinct products a session"),
        f.DAYS_SINCE_LAST_VISIT: _count("whole days; features.never_days: never, or longer ago"),
        f.USER_SEGMENT: _column(pl.String, "the shop's own grouping, as it is now"),
        c.LIFETIME_VALUE: _column(pl.Float64, "as the users table has it now; 0: not given"),
        f.ACCOUNT_AGE_DAYS: _count("whole days since the account was made or the first event"),
    },
    name="user_features",
    description="One row per user, sorted by user_id; from events strictly before the cut.",
    strict=True,
    ordered=True,
)

_PRODUCT_COLUMNS = {
    c.CATEGORY: _text("top level of the shop's tree"),
    c.SUBCATEGORY: _text("second level"),
    c.BRAND: _text("maker"),
    c.PRICE: _column(
        pl.Float64, "of the latest event, else the list price", NOT_NEGATIVE, nullable=True
    ),
    f.LOG_PRICE: _column(pl.Float64, "ln(1 + price)", NOT_NEGATIVE, nullable=True),
    f.IN_STOCK: _column(pl.Boolean, "can be sold now; unknown stock counts as in stock"),
    f.VIEWS_1D: _count("product views of the last day"),
    f.VIEWS_7D: _count("product views of the last 7 days"),
    f.VIEWS_30D: _count("product views of the last 30 days"),
    f.PURCHASES_1D: _count("purchase lines of the last day"),
    f.PURCHASES_7D: _count("purchase lines of the last 7 days"),
    f.PURCHASES_30D: _count("purchase lines of the last 30 days"),
    f.RETURNS_30D: _count("returned lines of the last 30 days"),
    f.PURCHASES_ALL_TIME: _count("purchase lines of all time"),
    f.CONVERSION_RATE: _figure("purchases_30d / max(views_30d, 1)"),
    f.TRENDING_SCORE: _column(pl.Float64, "7 days / 30 days of views, else purchases", SHARE),
    f.REVENUE_30D: _figure("price times pieces of the purchases of the last 30 days"),
    f.DAYS_SINCE_LAST_PURCHASE: _count("whole days; features.never_days: never, or longer ago"),
    f.PRODUCT_AGE_DAYS: _column(
        pl.Int64, "whole days since it came or was first seen", NOT_NEGATIVE, nullable=True
    ),
}

PRODUCT_FEATURES = pa.DataFrameSchema(
    {
        c.PRODUCT_ID: pa.Column(pl.String, unique=True, description="what"),
        c.NAME: _text("shown to people"),
        **_PRODUCT_COLUMNS,
    },
    name="product_features",
    description="One row per known product, sorted by product_id; from events before the cut.",
    strict=True,
    ordered=True,
)

PRODUCT_SNAPSHOTS = pa.DataFrameSchema(
    {
        f.SNAPSHOT_TIME: _column(UTC_TIME, "from events strictly before this time"),
        c.PRODUCT_ID: _column(pl.String, "what"),
        **_PRODUCT_COLUMNS,
    },
    name="product_snapshots",
    description="Product features on a grid of times, sorted by snapshot_time, product_id.",
    unique=[f.SNAPSHOT_TIME, c.PRODUCT_ID],
    strict=True,
    ordered=True,
)
