"""A shop of any size, simulated, with known tastes.

The model, in the order of the draws:

1.  *Products* have a category, subcategory, brand, price and style. A latent vector of 6
    dimensions places each category (its centroid) and each product within it: 50 % of the
    variance of the product's own part comes from the subcategory, 20 % from the brand, 30 %
    are its own. Appeal is Zipf-like. Some products arrive during the period and are boosted
    for some weeks; some are consumables with a cycle after which they are used up.
2.  *Users* have a latent taste vector, a preferred price position and a sensitivity to it, a
    heavy-tailed activity, a usual device, and a tendency to buy again. Some join during the
    period. The segment follows the price position; half of them state their favourite
    categories.
3.  *Demand* moves week by week: each category has a yearly season, each product short trends
    (an autoregressive process). Sessions follow the user's activity, the weekday, the hour
    and the weeks before the holidays.
4.  *A session* is about one category, drawn by taste and season. It considers up to 24
    products of it, drawn by appeal, trend and newness, and the last 8 products that the
    user bought. Each has a utility (taste match, price fit, repeat bonus or penalty); a
    multinomial logit with an outside option decides what is wanted (see ``choice``).
5.  *Events* are a funnel: the best few are viewed, some of these clicked, the wanted ones go
    into the cart, and most of the cart is bought at one checkout time. A few purchases are
    returned. Some sessions come from a search.

Purchases are remembered week by week, so a product can be bought again because of its cycle
from the following week on. ``tastes`` keeps the truth; ``oracle`` turns it into scores.
Nothing is drawn per user or event in Python: time and memory are linear in the events.
"""

from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from recsys_kedro.columns import EventType
from recsys_kedro.simulation.catalogue import make_catalogue, products_table
from recsys_kedro.simulation.demand import Visits, make_demand, make_visits
from recsys_kedro.simulation.events import events_table, in_time_order, returns_of
from recsys_kedro.simulation.memory import PurchaseMemory
from recsys_kedro.simulation.options import SimulationOptions
from recsys_kedro.simulation.oracle import Tastes
from recsys_kedro.simulation.period import SECONDS_PER_DAY, WEEK_SECONDS
from recsys_kedro.simulation.sessions import (
    SessionEvents,
    World,
    run_sessions,
)
from recsys_kedro.simulation.shoppers import make_shoppers, users_table

SESSIONS_PER_BLOCK = 8_192
PILOT_USERS, PILOT_EVENTS_PER_SESSION = 500, 9.0


@dataclass(frozen=True)
class Shop:
    """One simulated shop.

    Attributes:
        events: one row per event, sorted by time: ``event_id, event_type, user_id,
            product_id, timestamp, session_id, device_type, category, price, search_query,
            quantity``.
        products: one row per product, see ``schemas.PRODUCTS``.
        users: one row per user, see ``schemas.USERS``.
        tastes: the truth behind them.
    """

    events: pl.DataFrame
    products: pl.DataFrame
    users: pl.DataFrame
    tastes: Tastes


def simulate_shop(options: SimulationOptions, seed: int) -> Shop:
    """Simulate a shop. The same options and seed give the same tables.

    The products depend on the seed and their own options only, not on how many users
    there are.
    """
    streams = [np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(6)]
    catalogue_rng, shoppers_rng, demand_rng, pilot_rng, sessions_rng, tables_rng = streams
    catalogue = make_catalogue(options, catalogue_rng)
    products = products_table(catalogue, options, catalogue_rng)
    shoppers = make_shoppers(options, shoppers_rng)
    users = users_table(shoppers, catalogue, options, shoppers_rng)
    demand = make_demand(catalogue, options, demand_rng)
    world = World(catalogue, shoppers, demand, options.signal)
    sessions_per_user = options.events_per_user / _events_per_session(world, options, pilot_rng)
    visits = make_visits(shoppers, sessions_per_user, options, sessions_rng)
    happened = _live_through(visits, world, sessions_rng)
    happened = SessionEvents.concat([happened, returns_of(happened, options, tables_rng)])
    happened = in_time_order(happened, options)
    events = events_table(happened, visits, shoppers, catalogue, options, tables_rng)
    return Shop(events, products, users, Tastes(world, visits, options))


def _events_per_session(
    world: World, options: SimulationOptions, rng: np.random.Generator
) -> float:
    """Measured in a pilot with some of the users: how much is bought depends on all options."""
    pilot = replace(world, shoppers=world.shoppers.first(PILOT_USERS))
    sessions_per_user = options.events_per_user / PILOT_EVENTS_PER_SESSION
    visits = make_visits(pilot.shoppers, sessions_per_user, options, rng)
    events = _live_through(visits, pilot, rng)
    return len(events.kind) / max(len(visits.user), 1) or PILOT_EVENTS_PER_SESSION


def _live_through(visits: Visits, world: World, rng: np.random.Generator) -> SessionEvents:
    """All sessions, week by week: what is bought in one is remembered in the next."""
    memory = PurchaseMemory.empty(len(world.shoppers))
    starts = np.searchsorted(visits.start_second, np.arange(world.demand.weeks + 1) * WEEK_SECONDS)
    parts = [_no_events()]
    for week in range(world.demand.weeks):
        this_week = [
            run_sessions(np.arange(first, last), week, visits, world, memory, rng)
            for first, last in _blocks(int(starts[week]), int(starts[week + 1]))
        ]
        parts.extend(this_week)
        for part in this_week:
            _remember(part, visits, memory)
    return SessionEvents.concat(parts)


def _blocks(first: int, last: int) -> list[tuple[int, int]]:
    """Pieces small enough for the processor's cache."""
    return [
        (start, min(start + SESSIONS_PER_BLOCK, last))
        for start in range(first, last, SESSIONS_PER_BLOCK)
    ]


def _remember(events: SessionEvents, visits: Visits, memory: PurchaseMemory) -> None:
    bought = events.where(events.kind == EventType.PURCHASE)
    memory.remember(visits.user[bought.session], bought.product, bought.second / SECONDS_PER_DAY)


def _no_events() -> SessionEvents:
    """So that a shop where nothing happened has tables too."""
    none = np.empty(0, np.int64)
    return SessionEvents(none, none.astype(np.int32), none.astype(np.int8), none)
