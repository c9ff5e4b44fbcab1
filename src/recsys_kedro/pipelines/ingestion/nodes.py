"""From a shop's raw tables to the data contract, step by step."""

import logging
from collections.abc import Iterable, Iterator
from typing import Any

import polars as pl

from recsys_kedro import columns as c
from recsys_kedro import schemas
from recsys_kedro.pipelines.ingestion.categories import derive_categories
from recsys_kedro.pipelines.ingestion.figures import figures_of
from recsys_kedro.pipelines.ingestion.from_events import fill_up, products_in, users_in
from recsys_kedro.pipelines.ingestion.options import IngestionOptions
from recsys_kedro.pipelines.ingestion.parts import EventParts
from recsys_kedro.pipelines.ingestion.screening import Screened, Screening, screen_blocks
from recsys_kedro.pipelines.ingestion.sessions import with_sessions
from recsys_kedro.pipelines.ingestion.shop_tables import read_shop_table
from recsys_kedro.pipelines.ingestion.validate import as_utc, check_rejected_share
from recsys_kedro.spill import SpillFolder
from recsys_kedro.streams.landing import LandingReport, land
from recsys_kedro.streams.options import LandingOptions

LOGGER = logging.getLogger(__name__)


def land_events(options: LandingOptions) -> LandingReport:
    """Land what the topic has, if a broker is configured; see :func:`.streams.landing.land`."""
    if options.bootstrap_servers:
        return land(options)
    note = "nothing is landed: landing.bootstrap_servers is empty"
    LOGGER.info(note)
    return LandingReport(topic=options.topic, note=note)


def screen_events(
    raw_events: pl.DataFrame | Iterable[pl.DataFrame],
    event_spill: SpillFolder,
    options: IngestionOptions,
    run_time: str | None,
    landing_report: LandingReport,
) -> Screened:
    """Read every source row as an event and tell the good ones from the rest.

    Args:
        raw_events: as the shop wrote them: one frame, or frames one after the other.
        event_spill: keeps on the disk what need not be in memory.
        options: how the shop writes, and what it excludes.
        run_time: ISO 8601; later events are refused. Empty: no such check.
        landing_report: not read; it makes a run land before the raw events are loaded.

    Raises:
        ValueError: a column that is mapped or indispensable is not there.
    """
    return screen_blocks(raw_events, event_spill, options, as_utc(run_time))


def admit_events(
    screened_events: EventParts, screening: Screening, options: IngestionOptions
) -> EventParts:
    """The screened events, unless too much was refused or nothing is left.

    Raises:
        ValueError: the share of refused rows is above ``max_rejected_share``, or no event
            is left. The refused rows are saved by then.
    """
    counts = screening.counts
    candidates = counts["rows_read"] - sum(counts["excluded"].values())
    check_rejected_share(screening.refused, candidates, options)
    if counts["kept"] == 0:
        msg = (
            f"events: none of {counts['rows_read']:,} rows is left "
            f"(excluded: {counts['excluded']}). Check {options.where('exclude')} and the source"
        )
        raise ValueError(msg)
    return screened_events


def build_events(admitted_events: EventParts, options: IngestionOptions) -> Iterator[pl.DataFrame]:
    """The event table of the contract, sorted by user_id, timestamp, source_row, in parts."""
    return (
        with_sessions(part, options.session_gap_minutes).select(list(schemas.EVENTS.columns))
        for part in admitted_events.ordered()
    )


def build_products(
    admitted_events: EventParts, raw_products: pl.DataFrame, options: IngestionOptions
) -> pl.DataFrame:
    """One row per product of the shop's table or of the events, sorted by product_id.

    What the table lacks is told by the events, see :func:`.from_events.products_in`;
    categories that are still missing are derived from names where the options ask for it.
    """
    shop = options.source
    where = options.where("product_columns")
    table = read_shop_table(raw_products, schemas.PRODUCTS, shop.product_columns, where, shop)
    products = fill_up(table, products_in(admitted_events.table), c.PRODUCT_ID)
    if shop.categories is None:
        return products
    bare = products.filter(pl.col(c.CATEGORY).is_null())
    return fill_up(products, derive_categories(bare, shop.categories), c.PRODUCT_ID)


def build_users(
    admitted_events: EventParts, raw_users: pl.DataFrame, options: IngestionOptions
) -> pl.DataFrame:
    """One row per user of the shop's table or of the events, sorted by user_id."""
    shop = options.source
    where = options.where("user_columns")
    table = read_shop_table(raw_users, schemas.USERS, shop.user_columns, where, shop)
    return fill_up(table, users_in(admitted_events.table), c.USER_ID)


def report_ingestion(
    screening: Screening,
    admitted_events: EventParts,
    products: pl.DataFrame,
    users: pl.DataFrame,
    options: IngestionOptions,
) -> dict[str, Any]:
    """What became of every source row, and the size of what was made."""
    return {
        **screening.counts,
        **figures_of(admitted_events, options.session_gap_minutes),
        "products": products.height,
        "categories": products[c.CATEGORY].drop_nulls().n_unique(),
        "users": users.height,
    }
