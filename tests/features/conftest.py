"""Small tables, and random shops, for the feature tests."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from recsys_kedro import columns as c
from recsys_kedro.schemas import EVENTS, PRODUCTS, USERS

AS_OF = datetime(2025, 3, 31, 12, 30, tzinfo=UTC)


def _table(schema, rows):
    """Rows as dicts; what a row leaves out is empty."""
    types = {name: column.dtype.type for name, column in schema.columns.items()}
    return pl.DataFrame([{name: row.get(name) for name in types} for row in rows], schema=types)


def _event(number, row):
    defaults = {
        c.EVENT_TYPE: c.PRODUCT_VIEW,
        c.USER_ID: "u",
        c.PRODUCT_ID: "p",
        c.SESSION_ID: "s",
        c.QUANTITY: 1.0,
        c.SOURCE_ROW: number,
    }
    time = AS_OF - row.pop("ago", timedelta(days=1))
    return {**defaults, c.TIMESTAMP: time, **row}


@pytest.fixture(scope="session")
def as_of():
    return AS_OF


@pytest.fixture
def make_events():
    """Events given as dicts; ``ago`` is the time before ``as_of`` (one day by default)."""
    return lambda *rows: _table(EVENTS, [_event(n, dict(row)) for n, row in enumerate(rows)])


@pytest.fixture
def make_products():
    return lambda *rows: _table(PRODUCTS, rows)


@pytest.fixture
def make_users():
    return lambda *rows: _table(USERS, rows)


@pytest.fixture(scope="session")
def random_shop():
    """``(events, products, users)`` with ties, gaps, returns and events around ``as_of``."""

    def shop(seed, size=3_000):
        rng = np.random.default_rng(seed)
        hours = rng.integers(-24 * 5, 24 * 90, size)
        rows = [
            {
                c.EVENT_TYPE: str(rng.choice(c.EVENT_TYPES, p=[0.5, 0.2, 0.1, 0.15, 0.05])),
                c.USER_ID: f"u{rng.integers(60)}",
                c.PRODUCT_ID: f"p{rng.integers(40)}",
                c.SESSION_ID: f"s{rng.integers(30)}",
                c.TIMESTAMP: AS_OF - timedelta(hours=int(hour)),
                c.CATEGORY: f"searched{rng.integers(3)}" if rng.random() < 0.1 else None,
                c.PRICE: round(float(rng.gamma(2, 20)), 2) if rng.random() < 0.7 else None,
                c.QUANTITY: float(rng.integers(1, 5)),
                c.SOURCE_ROW: number,
            }
            for number, hour in enumerate(hours)
        ]
        return _table(EVENTS, rows), _products(rng), _users(rng)

    return shop


def _products(rng):
    return _table(
        PRODUCTS,
        [
            {
                c.PRODUCT_ID: f"p{number}",
                c.NAME: f"Lamp number {number}",
                c.CATEGORY: f"category{number % 7}" if number % 9 else None,
                c.BRAND: f"brand{number % 4}",
                c.PRICE: float(number) if number % 5 else None,
                c.STOCK_QUANTITY: int(rng.integers(3)) if number % 4 else None,
                c.CREATED_AT: AS_OF - timedelta(days=int(rng.integers(-10, 100)))
                if number % 3
                else None,
            }
            for number in range(45)
        ],
    )


def _users(rng):
    return _table(
        USERS,
        [
            {
                c.USER_ID: f"u{number}",
                c.SEGMENT: f"segment{number % 3}" if number % 4 else None,
                c.LIFETIME_VALUE: float(number) if number % 5 else None,
                c.CREATED_AT: AS_OF - timedelta(hours=int(rng.integers(-300, 3_000)))
                if number % 6
                else None,
            }
            for number in range(20, 70)
        ],
    )
