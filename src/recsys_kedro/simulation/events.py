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
    wait = rng.uniform(*RETURN_DAYS, len(back.kind)) * SECONDS_PER_DAY
    return SessionEvents(
        back.session,
        back.product,
        np.full(len(back.kind), EventType.RETURN, np.int8),
        back.second + wait.astype(np.int64),
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
    count, sessions = len(events.kind), len(visits.user)
    session_ids = numbered_ids("S", sessions).gather(events.session)
    returned = pl.Series(events.kind == EventType.RETURN)
    frame = pl.DataFrame(
        {
            c.EVENT_ID: numbered_ids("E", count),
            c.EVENT_TYPE: pl.Series(c.EVENT_TYPES).gather(events.kind),
            c.USER_ID: shoppers.ids.gather(visits.user[events.session]),
            c.PRODUCT_ID: catalogue.ids.gather(events.product),
            c.TIMESTAMP: times(options, events.second),
            c.SESSION_ID: session_ids,
            c.DEVICE_TYPE: pl.Series(DEVICES).gather(visits.device[events.session]),
            c.CATEGORY: catalogue.category_names.gather(catalogue.category[events.product]),
            c.PRICE: catalogue.price[events.product],
            c.SEARCH_QUERY: _search_queries(events, catalogue, sessions, rng),
            c.QUANTITY: _quantities(events, catalogue, rng),
        }
    )
    own_session = pl.when(returned).then(pl.col(c.SESSION_ID) + "R").otherwise(c.SESSION_ID)
    return frame.with_columns(own_session.alias(c.SESSION_ID))


def _quantities(
    events: SessionEvents, catalogue: Catalogue, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Consumables are bought in several pieces; everything else is one piece."""
    consumable = np.isfinite(catalogue.cycle_days)[events.product]
    several = consumable & (events.kind == EventType.PURCHASE)
    return np.where(several, rng.geometric(1 - MORE_PIECES_SHARE, len(several)), 1.0)


def _search_queries(
    events: SessionEvents, catalogue: Catalogue, sessions: int, rng: np.random.Generator
) -> pl.Series:
    """In some sessions the views of a subcategory come from a search for it."""
    searches = rng.random(sessions) < SEARCH_SHARE
    typed = searches[events.session] & (events.kind == EventType.PRODUCT_VIEW)
    words = catalogue.subcategory_names.gather(catalogue.subcategory[events.product])
    return pl.select(pl.when(pl.Series(typed)).then(words)).to_series()
