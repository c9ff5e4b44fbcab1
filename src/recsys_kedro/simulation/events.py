"""From sessions to the event table of the data contract."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys_kedro import columns as c
from recsys_kedro.columns import EventType
from recsys_kedro.simulation.catalogue import Catalogue
from recsys_kedro.simulation.demand import Visits
from recsys_kedro.simulation.names import numbered_ids
from recsys_kedro.simulation.options import SimulationOptions
from recsys_kedro.simulation.period import SECONDS_PER_DAY, times
from recsys_kedro.simulation.sessions import SessionEvents
from recsys_kedro.simulation.shoppers import DEVICES, Shoppers

RETURN_DAYS = (2.0, 21.0)
SEARCH_SHARE = 0.35
MORE_PIECES_SHARE = 0.35


def returns_of(
    events: SessionEvents, options: SimulationOptions, rng: np.random.Generator
) -> SessionEvents:
    """Some purchases come back after some days."""
    bought = events.where(events.kind == EventType.PURCHASE)
    back = bought.where(rng.random(len(bought.kind)) < options.return_share)
    return sent_back(back, rng.uniform(*RETURN_DAYS, len(back.kind)))


def sent_back(bought: SessionEvents, days: NDArray[np.float64]) -> SessionEvents:
    """The returns of purchases so many days after them."""
    return SessionEvents(
        bought.session,
        bought.product,
        np.full(len(bought.kind), EventType.RETURN, np.int8),
        bought.second + (days * SECONDS_PER_DAY).astype(np.int64),
    )


def in_time_order(events: SessionEvents, options: SimulationOptions) -> SessionEvents:
    """Sorted by time; what would happen after the end of the period is left out."""
    events = events.where(events.second < options.days * SECONDS_PER_DAY)
    order = np.lexsort((events.product, events.kind, events.session, events.second))
    return SessionEvents(
        events.session[order], events.product[order], events.kind[order], events.second[order]
    )


def events_table(
    events: SessionEvents,
    visits: Visits,
    shoppers: Shoppers,
    catalogue: Catalogue,
    options: SimulationOptions,
    rng: np.random.Generator,
) -> pl.DataFrame:
    """One row per event, sorted by time, in the shape of the data contract.

    ``price`` is the price of one piece. A return has a session of its own and the pieces
    of its purchase's order line are not kept apart: one piece comes back.
    """
    searches_S = rng.random(len(visits.user)) < SEARCH_SHARE
    pieces = rng.geometric(1 - MORE_PIECES_SHARE, len(events.kind))
    frame = described(events, visits, shoppers, catalogue, options).with_columns(
        search_queries(events, catalogue, searches_S[events.session]).alias(c.SEARCH_QUERY),
        pl.Series(c.QUANTITY, quantities(events, catalogue, pieces)),
    )
    return frame.select(numbered_ids("E", frame.height).alias(c.EVENT_ID), pl.all())


def described(
    events: SessionEvents,
    visits: Visits,
    shoppers: Shoppers,
    catalogue: Catalogue,
    options: SimulationOptions,
) -> pl.DataFrame:
    """Names, times, and what the catalogue says of the products; one row per event."""
    session = session_ids(visits).gather(events.session)
    returned = pl.Series(events.kind == EventType.RETURN)
    frame = pl.DataFrame(
        {
            c.EVENT_TYPE: pl.Series(c.EVENT_TYPES).gather(events.kind),
            c.USER_ID: shoppers.ids.gather(visits.user[events.session]),
            c.PRODUCT_ID: catalogue.ids.gather(events.product),
            c.TIMESTAMP: times(options, events.second),
            c.SESSION_ID: session,
            c.DEVICE_TYPE: pl.Series(DEVICES).gather(visits.device[events.session]),
            c.CATEGORY: catalogue.category_names.gather(catalogue.category[events.product]),
            c.PRICE: catalogue.price[events.product],
        }
    )
    own_session = pl.when(returned).then(pl.col(c.SESSION_ID) + "R").otherwise(c.SESSION_ID)
    return frame.with_columns(own_session.alias(c.SESSION_ID))


def session_ids(visits: Visits) -> pl.Series:
    """(S,) by index."""
    return numbered_ids("S", len(visits.user))


def quantities(
    events: SessionEvents, catalogue: Catalogue, pieces: NDArray[np.integer]
) -> NDArray[np.float64]:
    """Consumables are bought in several ``pieces``; everything else is one piece."""
    consumable = np.isfinite(catalogue.cycle_days)[events.product]
    return np.where(consumable & (events.kind == EventType.PURCHASE), pieces, 1.0)


def search_queries(
    events: SessionEvents, catalogue: Catalogue, searched: NDArray[np.bool_]
) -> pl.Series:
    """Where a visitor ``searched``, views of a subcategory come from a search for it."""
    typed = searched & (events.kind == EventType.PRODUCT_VIEW)
    words = catalogue.subcategory_names.gather(catalogue.subcategory[events.product])
    return pl.select(pl.when(pl.Series(typed)).then(words)).to_series()
