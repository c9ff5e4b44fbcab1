"""From a shop's raw tables to the data contract, step by step."""

import logging
from datetime import datetime
from typing import Any, NamedTuple

import polars as pl

from recsys_kedro import columns as c
from recsys_kedro import schemas
from recsys_kedro.pipelines.ingestion.categories import derive_categories
from recsys_kedro.pipelines.ingestion.duplicates import EXACT, SAME_EVENT_ID, duplicate_of
from recsys_kedro.pipelines.ingestion.exclusions import excluded_by
from recsys_kedro.pipelines.ingestion.from_events import fill_up, products_in, users_in
from recsys_kedro.pipelines.ingestion.normalise import normalise_events
from recsys_kedro.pipelines.ingestion.options import EVENT_COLUMNS, IngestionOptions
from recsys_kedro.pipelines.ingestion.sessions import with_sessions
from recsys_kedro.pipelines.ingestion.shop_tables import read_shop_table
from recsys_kedro.pipelines.ingestion.validate import (
    as_utc,
    check_rejected_share,
    count_by_code,
    rejected_rows,
    rejection_reasons,
)
from recsys_kedro.streams.landing import LandingReport, land
from recsys_kedro.streams.options import LandingOptions

LOGGER = logging.getLogger(__name__)
ROWS_AT_ONCE = 1_000_000  # are judged; bounds the memory for what a row is told apart by


class Screened(NamedTuple):
    """What :func:`screen_events` makes of the source.

    Attributes:
        events: the good rows, each event once, in the order of the source: ``source_row``
            and the mapped columns in their types.
        rejected: the refused rows, see ``schemas.REJECTED_EVENTS``.
        counts: what became of the rows: ``rows_read``, ``excluded`` by rule, ``rejected`` by
            code, ``duplicates`` by kind, ``kept``.
    """

    events: pl.DataFrame
    rejected: pl.DataFrame
    counts: dict[str, Any]


class _Judged(NamedTuple):
    """Some rows of the source, told apart: ``excluded`` names the rule, by row."""

    events: pl.DataFrame
    rejected: pl.DataFrame
    excluded: pl.Series
    good: pl.Series


def land_events(options: LandingOptions) -> LandingReport:
    """Land what the topic has, if a broker is configured; see :func:`.streams.landing.land`."""
    if options.bootstrap_servers:
        return land(options)
    note = "nothing is landed: landing.bootstrap_servers is empty"
    LOGGER.info(note)
    return LandingReport(topic=options.topic, note=note)


def screen_events(
    raw_events: pl.DataFrame,
    options: IngestionOptions,
    run_time: str | None,
    landing_report: LandingReport,
) -> Screened:
    """Read every source row as an event and tell the good ones from the rest.

    Args:
        raw_events: as the shop wrote them.
        options: how the shop writes, and what it excludes.
        run_time: ISO 8601; later events are refused. Empty: no such check.
        landing_report: not read; it makes a run land before the raw events are loaded.

    Raises:
        ValueError: a column that is mapped or indispensable is not there.
    """
    rows = raw_events
    if c.SOURCE_ROW not in rows.columns:
        rows = rows.with_row_index(c.SOURCE_ROW, offset=1)
    latest = as_utc(run_time)
    blocks = list(rows.iter_slices(ROWS_AT_ONCE)) or [rows]
    judged = [_judge(block, options, latest) for block in blocks]
    events = pl.concat([part.events for part in judged])
    rejected = pl.concat([part.rejected for part in judged])
    excluded = pl.concat([part.excluded for part in judged])
    good = pl.concat([part.good for part in judged])
    duplicate = duplicate_of(rows.filter(good), events[c.EVENT_ID])
    events = events.filter(duplicate.is_null())
    counts = {
        "rows_read": raw_events.height,
        "excluded": {r.name: int((excluded == r.name).sum()) for r in options.source.exclude},
        "rejected": count_by_code(rejected),
        "duplicates": {k: int((duplicate == k).sum()) for k in (EXACT, SAME_EVENT_ID)},
        "kept": events.height,
    }
    return Screened(events, rejected, counts)


def _judge(raw: pl.DataFrame, options: IngestionOptions, latest: datetime | None) -> _Judged:
    excluded = excluded_by(raw, options)
    normalised = normalise_events(raw, options)
    reasons = rejection_reasons(normalised, options, latest)
    reasons = reasons.set(excluded.is_not_null(), None)
    rejected = rejected_rows(raw, normalised[c.SOURCE_ROW], reasons)
    good = excluded.is_null() & reasons.is_null()
    events = normalised.filter(good).select(c.SOURCE_ROW, *EVENT_COLUMNS)
    return _Judged(events, rejected, excluded, good)


def admit_events(
    screened_events: pl.DataFrame,
    rejected_events: pl.DataFrame,
    screening: dict[str, Any],
    options: IngestionOptions,
) -> pl.DataFrame:
    """The screened events, unless too much was refused or nothing is left.

    Raises:
        ValueError: the share of refused rows is above ``max_rejected_share``, or no event
            is left. The refused rows are saved by then.
    """
    candidates = screening["rows_read"] - sum(screening["excluded"].values())
    check_rejected_share(rejected_events, candidates, options)
    if screened_events.is_empty():
        msg = (
            f"events: none of {screening['rows_read']:,} rows is left "
            f"(excluded: {screening['excluded']}). Check {options.where('exclude')} and the source"
        )
        raise ValueError(msg)
    return screened_events


def build_events(admitted_events: pl.DataFrame, options: IngestionOptions) -> pl.DataFrame:
    """The event table of the contract, sorted by user_id, timestamp, source_row."""
    ordered = admitted_events.sort(c.USER_ID, c.TIMESTAMP, c.SOURCE_ROW)
    return with_sessions(ordered, options.session_gap_minutes).select(list(schemas.EVENTS.columns))


def build_products(
    admitted_events: pl.DataFrame, raw_products: pl.DataFrame, options: IngestionOptions
) -> pl.DataFrame:
    """One row per product of the shop's table or of the events, sorted by product_id.

    What the table lacks is told by the events, see :func:`.from_events.products_in`;
    categories that are still missing are derived from names where the options ask for it.
    """
    shop = options.source
    where = options.where("product_columns")
    table = read_shop_table(raw_products, schemas.PRODUCTS, shop.product_columns, where, shop)
    products = fill_up(table, products_in(admitted_events), c.PRODUCT_ID)
    if shop.categories is None:
        return products
    bare = products.filter(pl.col(c.CATEGORY).is_null())
    return fill_up(products, derive_categories(bare, shop.categories), c.PRODUCT_ID)


def build_users(
    events: pl.DataFrame, raw_users: pl.DataFrame, options: IngestionOptions
) -> pl.DataFrame:
    """One row per user of the shop's table or of the events, sorted by user_id."""
    shop = options.source
    where = options.where("user_columns")
    table = read_shop_table(raw_users, schemas.USERS, shop.user_columns, where, shop)
    return fill_up(table, users_in(events), c.USER_ID)


def report_ingestion(
    screening: dict[str, Any], events: pl.DataFrame, products: pl.DataFrame, users: pl.DataFrame
) -> dict[str, Any]:
    """What became of every source row, and the size of what was made."""
    by_type = events[c.EVENT_TYPE].value_counts().sort("count", c.EVENT_TYPE, descending=True)
    first, last = events[c.TIMESTAMP].min(), events[c.TIMESTAMP].max()
    return {
        **screening,
        "events_by_type": dict(by_type.iter_rows()),
        "sessions": events[c.SESSION_ID].n_unique(),
        "products": products.height,
        "products_with_events": events[c.PRODUCT_ID].n_unique(),
        "categories": products[c.CATEGORY].drop_nulls().n_unique(),
        "users": users.height,
        "users_with_events": events[c.USER_ID].n_unique(),
        "first_time": str(first),
        "last_time": str(last),
    }
