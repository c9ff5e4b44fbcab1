"""Small logs for the tests of the monitoring."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from recsys_kedro import columns as c
from recsys_kedro.experiments import columns as e
from recsys_kedro.schemas import EVENTS, IMPRESSIONS, SERVED_INPUTS

START = datetime(2025, 3, 3, tzinfo=UTC)
FOLLOWED = {
    e.CLICKED: pl.Boolean,
    e.CARTED: pl.Boolean,
    e.PURCHASED: pl.Boolean,
    e.REVENUE: pl.Float64,
}


def _table(schema, rows, **further):
    """Rows as dicts; what a row leaves out is empty."""
    types = {name: column.dtype.type for name, column in schema.columns.items()} | further
    return pl.DataFrame([{name: row.get(name) for name in types} for row in rows], schema=types)


def _hour(number):
    return START + timedelta(hours=number)


def _impression(number, row):
    defaults = {
        c.RECOMMENDATION_ID: f"r{number}",
        c.USER_ID: "ann",
        c.POSITION: 1,
        c.PRODUCT_ID: "p",
        c.SCORE: 1.0,
        c.PROPENSITY: 1.0,
        c.SOURCE: "history",
        c.MODEL: "hybrid",
        c.MODEL_VERSION: "1",
        c.VARIANTS: [],
        c.FROM_CACHE: False,
        c.LATENCY_MS: 10.0,
        c.HISTORY_LENGTH: 1,
        **dict.fromkeys((e.CLICKED, e.CARTED, e.PURCHASED), False),
        e.REVENUE: 0.0,
    }
    return {**defaults, c.TIMESTAMP: _hour(row.pop("at", 0)), **row}


def _event(number, row):
    defaults = {
        c.EVENT_TYPE: c.CLICK,
        c.USER_ID: "ann",
        c.PRODUCT_ID: "p",
        c.SESSION_ID: "s",
        c.QUANTITY: 1.0,
        c.SOURCE_ROW: number,
    }
    return {**defaults, c.TIMESTAMP: _hour(row.pop("at", 0)), **row}


@pytest.fixture(scope="session")
def hour():
    """The time so many hours after the start."""
    return _hour


@pytest.fixture(scope="session")
def make_shown():
    """Impressions with what followed, given as dicts; ``at`` is hours after the start."""
    return lambda *rows: _table(
        IMPRESSIONS, [_impression(place, dict(row)) for place, row in enumerate(rows)], **FOLLOWED
    )


@pytest.fixture(scope="session")
def make_impressions(make_shown):
    """The same without what followed."""
    return lambda *rows: make_shown(*rows).drop(FOLLOWED)


@pytest.fixture(scope="session")
def make_events():
    """Events given as dicts; ``at`` is hours after the start."""
    return lambda *rows: _table(EVENTS, [_event(n, dict(row)) for n, row in enumerate(rows)])


@pytest.fixture(scope="session")
def make_inputs():
    """Served inputs, given as ``(id, at, history, further columns)``.

    A history is a list of ``(product, type, hour, price)``.
    """

    def make(*inputs):
        rows = []
        for answer, at, history, *further in inputs:
            products, kinds, hours, prices = zip(*history, strict=True) if history else [()] * 4
            row = {
                c.RECOMMENDATION_ID: answer,
                c.USER_ID: "ann",
                c.AS_OF: _hour(at),
                c.PRODUCT_ID: list(products),
                c.EVENT_TYPE: list(kinds),
                c.EVENT_TIME: [_hour(number) for number in hours],
                c.PRICE: list(prices),
                c.SENT: 0,
                c.PROFILE: "{}",
            }
            rows.append(row | (further[0] if further else {}))
        return _table(SERVED_INPUTS, rows)

    return make


@pytest.fixture(scope="session")
def by_name():
    """Figures as ``{(figure, slice): figure}``."""
    return lambda figures: {(each.figure, each.slice): each for each in figures}
