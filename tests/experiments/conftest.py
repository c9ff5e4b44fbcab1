"""Small logs for the tests of experiments."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from recsys_kedro import columns as c
from recsys_kedro.experiments.exposures import Scope
from recsys_kedro.schemas import EVENTS, IMPRESSIONS

START = datetime(2025, 3, 3, tzinfo=UTC)


def _table(schema, rows):
    """Rows as dicts; what a row leaves out is empty."""
    types = {name: column.dtype.type for name, column in schema.columns.items()}
    rows = [{name: row.get(name) for name in types} for row in rows]
    return pl.DataFrame(rows, schema=types).lazy()


def _at(row):
    """``at`` is in hours from the start of the experiment."""
    return START + timedelta(hours=row.pop("at", 0))


def _impression(row):
    defaults = {
        c.RECOMMENDATION_ID: "r",
        c.USER_ID: "ann",
        c.SESSION_ID: "s",
        c.POSITION: 1,
        c.PRODUCT_ID: "p",
        c.PROPENSITY: 1.0,
        c.EXPERIMENT: "test",
        c.VARIANT: "old",
        c.LATENCY_MS: 10.0,
        c.HISTORY_LENGTH: 0,
    }
    row = {**defaults, c.TIMESTAMP: _at(row), **row}
    experiment, variant = row.pop(c.EXPERIMENT), row.pop(c.VARIANT)
    taken_part = [{c.EXPERIMENT: experiment, c.VARIANT: variant}]
    return {**row, c.VARIANTS: [] if experiment is None else taken_part}


def _event(row):
    defaults = {
        c.EVENT_TYPE: c.CLICK,
        c.USER_ID: "ann",
        c.PRODUCT_ID: "p",
        c.SESSION_ID: "s",
        c.QUANTITY: 1.0,
    }
    return {**defaults, c.TIMESTAMP: _at(row), **row}


@pytest.fixture(scope="session")
def scope():
    """Ten days."""
    return Scope("test", START, START + timedelta(days=10))


@pytest.fixture(scope="session")
def make_impressions():
    """Impressions given as dicts; ``at`` is hours after the start (0 by default).

    ``experiment`` and ``variant`` are those of the one experiment that the user is in, if any.
    """
    return lambda *rows: _table(IMPRESSIONS, [_impression(dict(row)) for row in rows])


@pytest.fixture(scope="session")
def make_events():
    """Events given as dicts; ``at`` is hours after the start (0 by default)."""
    return lambda *rows: _table(EVENTS, [_event(dict(row)) for row in rows])
