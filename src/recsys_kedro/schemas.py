"""The data dictionary: one Pandera schema per table.

Catalog entries name these schemas as their ``validator``. The tables are Polars
frames; every time is a UTC ``Datetime`` with microseconds.
"""

from typing import Any

import pandera.polars as pa
import polars as pl

from recsys_kedro import columns as c

UTC_TIME = pl.Datetime("us", "UTC")
VARIANTS = pl.List(pl.Struct({c.EXPERIMENT: pl.String, c.VARIANT: pl.String}))


def _column(dtype: Any, description: str, **options: Any) -> pa.Column:
    return pa.Column(dtype, description=description, **options)


def _optional(dtype: Any, description: str, **options: Any) -> pa.Column:
    """A column that is always there and may be empty in any row."""
    return _column(dtype, description, nullable=True, **options)


EVENTS = pa.DataFrameSchema(
    {
        c.EVENT_ID: _optional(pl.String, "the source's own id of the event"),
        c.EVENT_TYPE: _column(pl.String, "what happened", checks=pa.Check.isin(c.EVENT_TYPES)),
        c.USER_ID: _column(pl.String, "who did it"),
        c.PRODUCT_ID: _column(pl.String, "with what"),
        c.TIMESTAMP: _column(UTC_TIME, "when"),
        c.SESSION_ID: _column(pl.String, "the visit that it belongs to"),
        c.DEVICE_TYPE: _optional(pl.String, "mobile, desktop, …"),
        c.CATEGORY: _optional(pl.String, "category on the page, or searched in"),
        c.PRICE: _optional(
            pl.Float64, "price of one piece, shop's currency", checks=pa.Check.ge(0)
        ),
        c.SEARCH_QUERY: _optional(pl.String, "what was typed into the search box"),
        c.QUANTITY: _column(pl.Float64, "pieces", checks=pa.Check.ge(0)),
        c.RECOMMENDATION_ID: _optional(pl.String, "the answer that showed the product"),
        c.SOURCE_ROW: _column(pl.Int64, "position in the source; orders events of the same time"),
    },
    name="events",
    description="One row per event, sorted by user_id, timestamp, source_row.",
    strict=True,
)

REJECTED_EVENTS = pa.DataFrameSchema(
    {
        c.SOURCE_ROW: _column(pl.Int64, "position in the source"),
        c.REASON: _column(pl.String, "why the row was refused"),
        "row": _column(pl.String, "the row as it was read, as JSON"),
    },
    name="rejected_events",
    description="One row per refused source row.",
    strict=True,
)

PRODUCTS = pa.DataFrameSchema(
    {
        c.PRODUCT_ID: _column(pl.String, "the shop's id", unique=True),
        c.NAME: _optional(pl.String, "shown to people"),
        c.CATEGORY: _optional(pl.String, "top level of the shop's tree"),
        c.SUBCATEGORY: _optional(pl.String, "second level"),
        c.BRAND: _optional(pl.String, "maker"),
        c.PRICE: _optional(pl.Float64, "list price, shop's currency", checks=pa.Check.ge(0)),
        c.STOCK_QUANTITY: _optional(pl.Int64, "pieces that can be sold now; empty: unknown"),
        c.FEATURES: _optional(pl.String, "further attributes, a JSON object"),
        c.CREATED_AT: _optional(UTC_TIME, "when it came into the catalog"),
        c.UPDATED_AT: _optional(UTC_TIME, "last change"),
    },
    name="products",
    description="One row per product.",
    strict=True,
)

USERS = pa.DataFrameSchema(
    {
        c.USER_ID: _column(pl.String, "the shop's id", unique=True),
        c.DEMOGRAPHICS: _optional(pl.String, "a JSON object"),
        c.PREFERENCES: _optional(pl.String, "a JSON object"),
        c.LIFETIME_VALUE: _optional(pl.Float64, "revenue so far, shop's currency"),
        c.SEGMENT: _optional(pl.String, "the shop's own grouping"),
        c.CREATED_AT: _optional(UTC_TIME, "when the account was made"),
    },
    name="users",
    description="One row per user.",
    strict=True,
)

TRUTH = pa.DataFrameSchema(
    {
        c.TASK: _column(pl.String, "all or new", checks=pa.Check.isin(c.TASKS)),
        c.USER_ID: _column(pl.String, "who"),
        c.PRODUCT_ID: _column(pl.String, "took what in the window"),
    },
    name="truth",
    description="One row per task, user and relevant product.",
    unique=[c.TASK, c.USER_ID, c.PRODUCT_ID],
    strict=True,
)

RECOMMENDATIONS_TO_SCORE = pa.DataFrameSchema(
    {
        c.TASK: _column(pl.String, "all or new", checks=pa.Check.isin(c.TASKS)),
        c.MODEL: _column(pl.String, "which model"),
        c.USER_ID: _column(pl.String, "for whom"),
        c.PRODUCT_ID: _column(pl.String, "what"),
        c.RANK: _column(pl.Int64, "1 is the top", checks=pa.Check.ge(1)),
        c.SCORE: _column(pl.Float64, "comparable within one list only"),
    },
    name="recommendations_to_score",
    description="50 ranks per task, model and user.",
    strict=True,
)

RECOMMENDATIONS = pa.DataFrameSchema(
    {
        c.USER_ID: _column(pl.String, "for whom"),
        c.PRODUCT_ID: _column(pl.String, "what"),
        c.RANK: _column(pl.Int64, "1 is the top", checks=pa.Check.ge(1)),
        c.SCORE: _column(pl.Float64, "comparable within one list only"),
        c.SOURCE: _column(pl.String, "what proposed it"),
        c.REASON: _column(pl.String, "why, in words for the shopper"),
    },
    name="recommendations",
    description="The lists of all users, ready for the shop.",
    strict=True,
)

IMPRESSIONS = pa.DataFrameSchema(
    {
        c.RECOMMENDATION_ID: _column(pl.String, "the answer that showed it"),
        c.USER_ID: _column(pl.String, "to whom"),
        c.TIMESTAMP: _column(UTC_TIME, "the time of the request, else when it was answered"),
        c.SESSION_ID: _optional(pl.String, "the visit, where the request named it"),
        c.DEVICE_TYPE: _optional(pl.String, "mobile, desktop, …"),
        c.POSITION: _column(pl.Int64, "1 is the top", checks=pa.Check.ge(1)),
        c.PRODUCT_ID: _column(pl.String, "what was shown"),
        c.SCORE: _optional(pl.Float64, "comparable within one answer only; empty: not a number"),
        c.PROPENSITY: _column(
            pl.Float64,
            "probability of this product at this position, given those above it",
            checks=pa.Check.in_range(0, 1, include_min=False),
        ),
        c.SOURCE: _column(pl.String, "what proposed it"),
        c.MODEL: _column(pl.String, "which model answered"),
        c.MODEL_VERSION: _column(pl.String, "its version in the registry"),
        c.VARIANTS: _column(
            VARIANTS, "of each A/B test that the user took part in: its name, and the arm"
        ),
        c.FALLBACK: _optional(pl.String, "which fallback answered, if one did"),
        c.FROM_CACHE: _column(pl.Boolean, "whether the list had been ranked before"),
        c.LATENCY_MS: _column(
            pl.Float64, "from the request's arrival to the answer", checks=pa.Check.ge(0)
        ),
        c.HISTORY_LENGTH: _column(
            pl.Int64, "past events that the model saw", checks=pa.Check.ge(0)
        ),
    },
    name="impressions",
    description="One row per shown product, sorted by timestamp, recommendation_id, position.",
    unique=[c.RECOMMENDATION_ID, c.POSITION],
    strict=True,
)

SERVED_INPUTS = pa.DataFrameSchema(
    {
        c.RECOMMENDATION_ID: _column(pl.String, "the answer", unique=True),
        c.USER_ID: _column(pl.String, "to whom"),
        c.AS_OF: _column(UTC_TIME, "the time that the answer is for"),
        c.PRODUCT_ID: _column(pl.List(pl.String), "the history, newest last"),
        c.EVENT_TYPE: _column(pl.List(pl.String), "what was done with each"),
        c.EVENT_TIME: _column(pl.List(UTC_TIME), "when"),
        c.PRICE: _column(pl.List(pl.Float64), "price of one piece; empty: unknown"),
        c.SENT: _column(pl.Int64, "events that came with the request", checks=pa.Check.ge(0)),
        c.PROFILE: _column(pl.String, "the user features, a JSON object"),
    },
    name="served_inputs",
    description="One row per sampled answer, sorted by as_of, recommendation_id.",
    strict=True,
)
