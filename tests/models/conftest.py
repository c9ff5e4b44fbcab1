"""A shop of four products and three users, small enough for arithmetic by hand."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
import torch

from recsys_kedro import columns as c
from recsys_kedro.models.base import TrainingData
from recsys_kedro.queries import Queries, build_queries
from recsys_kedro.schemas import PRODUCTS, UTC_TIME

CUT = datetime(2024, 3, 1, tzinfo=UTC)
PRODUCT_SCHEMA = {name: column.dtype.type for name, column in PRODUCTS.columns.items()}
EVENT_SCHEMA = {
    c.EVENT_ID: pl.String,
    c.EVENT_TYPE: pl.String,
    c.USER_ID: pl.String,
    c.PRODUCT_ID: pl.String,
    c.TIMESTAMP: UTC_TIME,
    c.SESSION_ID: pl.String,
    c.DEVICE_TYPE: pl.String,
    c.CATEGORY: pl.String,
    c.PRICE: pl.Float64,
    c.SEARCH_QUERY: pl.String,
    c.QUANTITY: pl.Float64,
    c.RECOMMENDATION_ID: pl.String,
    c.SOURCE_ROW: pl.Int64,
}


def _make_events(*rows):
    """Events of ``(user, product, days before the cut)`` or with an event type behind."""
    return pl.DataFrame(
        [
            {
                c.USER_ID: user,
                c.PRODUCT_ID: product,
                c.EVENT_TYPE: kind[0] if kind else c.PURCHASE,
                c.TIMESTAMP: CUT - timedelta(days=days),
                c.SESSION_ID: f"{user}-{days}",
                c.QUANTITY: 1.0,
                c.SOURCE_ROW: number,
            }
            for number, (user, product, days, *kind) in enumerate(rows)
        ],
        schema=EVENT_SCHEMA,
    ).sort(c.USER_ID, c.TIMESTAMP, c.SOURCE_ROW)


def _make_data(events, targets=(c.PURCHASE,)):
    """Training data whose two other tables are empty."""
    return TrainingData(events, pl.DataFrame(schema=PRODUCT_SCHEMA), pl.DataFrame(), CUT, targets)


def _ask(events, *users, days_after=0) -> Queries:
    """One query per user at the cut, or some days after it."""
    as_of = pl.lit(CUT + timedelta(days=days_after), UTC_TIME)
    requests = pl.DataFrame({c.USER_ID: users}, schema={c.USER_ID: pl.String})
    return build_queries(events, requests.with_columns(as_of.alias(c.AS_OF)))


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Batches this small are learned several times faster without waiting for other threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def make_events():
    return _make_events


@pytest.fixture
def make_data():
    return _make_data


@pytest.fixture
def ask():
    return _ask


@pytest.fixture
def events():
    """``a`` sold 3 times, ``🫖`` twice, ``b`` and ``c`` once each; ``b`` was the last."""
    return _make_events(
        ("ann", "a", 40), ("ann", "🫖", 40), ("ann", "a", 20),
        ("ben", "a", 30), ("ben", "🫖", 30), ("ben", "b", 10),
        ("cy", "c", 60),
    )  # fmt: skip
