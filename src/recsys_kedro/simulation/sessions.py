"""Sessions: what visitors consider, look at, click, put into the cart and buy.

Shapes: S sessions, C considered products, V browsed products.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys_kedro.columns import EventType
from recsys_kedro.simulation.catalogue import Catalogue
from recsys_kedro.simulation.choice import (
    category_log_odds,
    choose,
    draw_categories,
    memory_bonus,
    product_utility,
)
from recsys_kedro.simulation.demand import Demand, Visits, draw_products
from recsys_kedro.simulation.memory import EMPTY, PurchaseMemory
from recsys_kedro.simulation.period import SECONDS_PER_DAY
from recsys_kedro.simulation.shoppers import Shoppers

DRAWN_PRODUCTS = 24
MOST_BROWSED = 12
MEAN_BROWSED = 4.5
CLICK_SHARE = 0.4
CHECKOUT_SHARE = 0.7
# Seconds.
SHORTEST_PAUSE, MEAN_PAUSE = 3, 30.0
SOONEST_CHECKOUT, LATEST_CHECKOUT = 20, 300


@dataclass(frozen=True)
class SessionEvents:
    """N events as arrays, one row per event.

    Attributes:
        session: (N,) index of the visit.
        product: (N,) index of the product.
        kind: (N,) :class:`~recsys_kedro.columns.EventType`.
        second: (N,) from the start of the period.
    """

    session: NDArray[np.int64]
    product: NDArray[np.int32]
    kind: NDArray[np.int8]
    second: NDArray[np.int64]

    def where(self, kept: NDArray[np.bool_]) -> "SessionEvents":
        """The rows where ``kept``."""
        return SessionEvents(
            self.session[kept], self.product[kept], self.kind[kept], self.second[kept]
        )

    @classmethod
    def concat(cls, parts: "list[SessionEvents]") -> "SessionEvents":
        """All rows of ``parts``, in order."""
        return cls(
            np.concatenate([part.session for part in parts]),
            np.concatenate([part.product for part in parts]),
            np.concatenate([part.kind for part in parts]),
            np.concatenate([part.second for part in parts]),
        )


@dataclass(frozen=True)
class World:
    """All that stays the same during the simulation."""

    catalogue: Catalogue
    shoppers: Shoppers
    demand: Demand
    signal: float


def run_sessions(
    session_S: NDArray[np.int64],
    week: int,
    visits: Visits,
    world: World,
    memory: PurchaseMemory,
    rng: np.random.Generator,
) -> SessionEvents:
    """All events of the sessions, which lie in one week."""
    user_S = visits.user[session_S]
    day_S = visits.start_second[session_S] / SECONDS_PER_DAY
    drawn_SN = draw_considered(user_S, week, world, rng)
    product_SC, utility_SC = consider(user_S, day_S, drawn_SN, world, memory)
    choices = choose(utility_SC, rng)
    browsed_S = draw_browsed(len(user_S), rng)
    best_SV, browsed_SV = best_browsed(choices.liking_SN, utility_SC, browsed_S)
    # What is liked best is not looked at first: the browsing order says nothing.
    order_SV = rng.random(best_SV.shape, np.float32).argsort(axis=1)
    browsed_SV = np.take_along_axis(browsed_SV, order_SV, 1)
    shown_SV = np.take_along_axis(best_SV, order_SV, 1)
    product_SV = np.take_along_axis(product_SC, shown_SV, 1)
    wanted_SV = browsed_SV & np.take_along_axis(choices.wanted_SN, shown_SV, 1)
    start_S = visits.start_second[session_S]
    return _funnel(session_S, start_S, product_SV, browsed_SV, wanted_SV, rng)


def draw_considered(
    user_S: NDArray[np.int64], week: int, world: World, rng: np.random.Generator
) -> NDArray[np.int32]:
    """(S, N) products of the category that each session is about, drawn by appeal, ascending."""
    demand, taste_SD = world.demand, world.shoppers.taste_UD[user_S]
    odds_SK = category_log_odds(taste_SD, world.catalogue, demand.log_season_WK[week], world.signal)
    drawn_SN = draw_products(
        demand.log_weight_WP[week],
        world.catalogue.first_of_category,
        draw_categories(odds_SK, rng),
        DRAWN_PRODUCTS,
        rng,
    )
    drawn_SN.sort(axis=1)
    return drawn_SN.astype(np.int32)


def consider(
    user_S: NDArray[np.int64],
    day_S: NDArray[np.float64],
    drawn_SN: NDArray[np.int32],
    world: World,
    memory: PurchaseMemory,
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """(S, C) what each session considers, and its utility; -inf where it does not count.

    What was drawn (ascending), and what the user bought lately, whatever its category.
    """
    shoppers, catalogue = world.shoppers, world.catalogue
    bought_SM = memory.product_UM[user_S]
    product_SC = np.hstack([drawn_SN, bought_SM])
    utility_SC = product_utility(user_S, product_SC, shoppers, catalogue, world.signal)
    utility_SC[:, DRAWN_PRODUCTS:] += memory_bonus(user_S, day_S, memory, shoppers, catalogue)
    utility_SC[:, 1:DRAWN_PRODUCTS][drawn_SN[:, 1:] == drawn_SN[:, :-1]] = -np.inf
    utility_SC[:, :DRAWN_PRODUCTS][contained(drawn_SN, bought_SM)] = -np.inf
    return product_SC, utility_SC


def draw_browsed(sessions: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """(S,) how many products each session looks at, at most."""
    return 1 + rng.poisson(MEAN_BROWSED - 1, sessions)


def best_browsed(
    liking_SC: NDArray[np.float32], utility_SC: NDArray[np.float32], browsed_S: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """(S, V) columns of the products that are liked best, best first, and which are browsed."""
    liking_SC = np.where(np.isfinite(utility_SC), liking_SC, -np.inf)
    best_SV = _best_first(liking_SC, MOST_BROWSED)
    browsed_SV = np.arange(best_SV.shape[1]) < browsed_S[:, None]
    browsed_SV &= np.isfinite(np.take_along_axis(liking_SC, best_SV, 1))
    return best_SV, browsed_SV


def contained(values_SN: NDArray[np.int32], among_SM: NDArray[np.int32]) -> NDArray[np.bool_]:
    """(S, N) whether each product is among those of its row; empty slots count for nothing."""
    found = np.zeros(values_SN.shape, bool)
    for column_S in among_SM.T:
        if (column_S != EMPTY).any():
            found |= values_SN == column_S[:, None]
    return found


def _best_first(liking_SC: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    count = min(count, liking_SC.shape[1])
    best = np.argpartition(-liking_SC, count - 1, axis=1)[:, :count]
    order = np.argsort(-np.take_along_axis(liking_SC, best, 1), axis=1)
    return np.take_along_axis(best, order, 1)


def _funnel(
    session_S: NDArray[np.int64],
    start_S: NDArray[np.int64],
    product_SV: NDArray[np.int32],
    browsed_SV: NDArray[np.bool_],
    wanted_SV: NDArray[np.bool_],
    rng: np.random.Generator,
) -> SessionEvents:
    """Some of what is not wanted is clicked too, and most of what is wanted is bought."""
    shape = product_SV.shape
    clicked_SV = browsed_SV & (wanted_SV | (rng.random(shape, np.float32) < CLICK_SHARE))
    bought_SV = wanted_SV & (rng.random(shape, np.float32) < CHECKOUT_SHARE)
    steps_SV3 = np.stack([browsed_SV, clicked_SV, wanted_SV], axis=2)
    pause_N = rng.exponential(MEAN_PAUSE, np.count_nonzero(steps_SV3))
    checkout_S = rng.integers(SOONEST_CHECKOUT, LATEST_CHECKOUT, len(start_S))
    return timeline(session_S, start_S, product_SV, steps_SV3, bought_SV, pause_N, checkout_S)


def timeline(
    session_S: NDArray[np.int64],
    start_S: NDArray[np.int64],
    product_SV: NDArray[np.int32],
    steps_SV3: NDArray[np.bool_],
    bought_SV: NDArray[np.bool_],
    pause_N: NDArray[np.float64],
    checkout_S: NDArray[np.int64],
) -> SessionEvents:
    """Views, clicks and carts one after the other; one checkout time per session.

    Args:
        session_S: index of the visit.
        start_S: seconds from the start of the period.
        product_SV: in the order in which they are looked at.
        steps_SV3: whether each is viewed, clicked, put into the cart.
        bought_SV: whether it is bought.
        pause_N: seconds before each of these steps, in their order, beyond the shortest.
        checkout_S: seconds from the last step to the checkout.
    """
    row, column, kind = np.nonzero(steps_SV3)
    waited = np.cumsum(SHORTEST_PAUSE + pause_N.astype(np.int64))
    ends = np.cumsum(np.bincount(row, minlength=len(start_S))) - 1
    before_S = np.concatenate([[0], waited[ends[:-1]]])
    paid_S = start_S + waited[ends] - before_S + checkout_S
    bought_row, bought_column = np.nonzero(bought_SV)
    browsing = SessionEvents(
        session_S[row],
        product_SV[row, column],
        kind.astype(np.int8),
        start_S[row] + waited - before_S[row],
    )
    buying = SessionEvents(
        session_S[bought_row],
        product_SV[bought_row, bought_column],
        np.full(len(bought_row), EventType.PURCHASE, np.int8),
        paid_S[bought_row],
    )
    return SessionEvents.concat([browsing, buying])
