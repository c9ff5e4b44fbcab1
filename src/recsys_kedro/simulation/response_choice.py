"""What shoppers make of the lists that they are shown, beside what they look at anyway.

The model of one session, which sees at most one list:

1.  *Reading.* A shopper reads from the top and stops somewhere; position p is read with
    probability ``p ** -decay``. That a click needs an examination first, which gets rarer down
    the list, is the position-based model (Richardson, Dominowska and Ragno 2007, "Predicting
    clicks"; Craswell, Zoeter, Taylor and Ramsey 2008, "An experimental comparison of click
    position-bias models"). One draw decides how far a session reads.
2.  *Liking.* What is read gets the utility of the shop's multinomial logit (see ``choice``): taste,
    price fit, what was bought before. A product that the shopper did not come for weighs less,
    and as much as its category (by taste and season) and itself (by appeal, trend and newness)
    are in demand. The noise belongs to session and product, wherever the product is met.
3.  *Acting.* What beats the outside option is wanted; a click takes less than that. What was not
    clicked in the list is browsed as without it (see ``sessions``), so this part of the
    revenue is touched by no recommender.

Shapes: S sessions, L positions of a list, N drawn and C considered products, V browsed ones,
X = L + V, K categories, W weeks, P products.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import special

from recsys_kedro.options import Options
from recsys_kedro.simulation.choice import (
    OUTSIDE_WEIGHT,
    category_log_odds,
    memory_bonus,
    product_utility,
)
from recsys_kedro.simulation.memory import EMPTY, PurchaseMemory
from recsys_kedro.simulation.period import SECONDS_PER_DAY
from recsys_kedro.simulation.response_noise import Noise, Stream
from recsys_kedro.simulation.sessions import (
    CHECKOUT_SHARE,
    CLICK_SHARE,
    World,
    best_browsed,
    consider,
    contained,
)


class ResponseOptions(Options):
    """How shoppers answer lists."""

    decay: float = Field(
        0.7, ge=0, description="position p is read with probability p ** -decay; 0: all are"
    )
    list_weight: float = Field(
        0.05, gt=0, le=1, description="of a product that the shopper did not come for, against one"
    )
    click_weight: float = Field(
        4.0, ge=1, description="how much more easily a product is clicked than wanted"
    )
    lost_id_share: float = Field(
        0.2, ge=0, le=1, description="share of events after a click that lose the id of the answer"
    )


@dataclass(frozen=True)
class Sessions:
    """S sessions, and what each looks at if nothing is shown to it.

    Attributes:
        session: (S,) index of the visit.
        user: (S,) index of the user.
        start_second: (S,) from the start of the period.
        week: (S,) from the start of the period.
        drawn_SN: products of the category that it is about, ascending.
        browsed: (S,) how many products it browses, at most.
    """

    session: NDArray[np.int64]
    user: NDArray[np.int64]
    start_second: NDArray[np.int64]
    week: NDArray[np.int64]
    drawn_SN: NDArray[np.int32]
    browsed: NDArray[np.int64]

    def rows(self, kept: NDArray[np.integer] | NDArray[np.bool_]) -> "Sessions":
        """Some of them."""
        return Sessions(**{name: values[kept] for name, values in vars(self).items()})

    @property
    def day(self) -> NDArray[np.float64]:
        """(S,) from the start of the period."""
        return self.start_second / SECONDS_PER_DAY


@dataclass(frozen=True)
class Decisions:
    """What S sessions do with X products: those of the list, then those that they browse.

    A product stands at most once among those that are clicked, wanted or bought.
    """

    product_SX: NDArray[np.int32]
    viewed_SX: NDArray[np.bool_]
    clicked_SX: NDArray[np.bool_]
    wanted_SX: NDArray[np.bool_]
    bought_SX: NDArray[np.bool_]


def decide(
    sessions: Sessions,
    list_SL: NDArray[np.int32],
    world: World,
    memory: PurchaseMemory,
    noise: Noise,
    options: ResponseOptions,
) -> Decisions:
    """What the sessions do; nothing changes, ``memory`` neither.

    Args:
        sessions: who comes; a user's purchases within these sessions are not yet remembered.
        list_SL: products from the top; -1: nothing is shown there.
        world: the truth about users, products and demand.
        memory: what was bought before.
        noise: of the seed.
        options: how shoppers answer.
    """
    session_S1 = sessions.session[:, None]
    product_SC, utility_SC = consider(sessions.user, sessions.day, sessions.drawn_SN, world, memory)
    outside_S1 = np.float32(np.log(OUTSIDE_WEIGHT)) + noise.gumbel(Stream.OUTSIDE, session_S1)

    utility_SL = _utility_in_lists(sessions, list_SL, product_SC, world, memory, options)
    surplus_SL = utility_SL + noise.gumbel(Stream.LIKING, session_S1, list_SL) - outside_S1
    read_SL = (list_SL != EMPTY) & _read(session_S1, list_SL.shape[1], noise, options)
    clicked_SL = read_SL & (surplus_SL > -np.log(options.click_weight))

    surplus_SC = utility_SC + noise.gumbel(Stream.LIKING, session_S1, product_SC) - outside_S1
    best_SV, browsed_SV = best_browsed(surplus_SC, utility_SC, sessions.browsed)
    # What is liked best is not looked at first: the browsing order says nothing.
    order_SV = noise.uniform(Stream.ORDER, session_S1, np.arange(best_SV.shape[1])).argsort(axis=1)
    best_SV = np.take_along_axis(best_SV, order_SV, 1)
    browsed_SV = np.take_along_axis(browsed_SV, order_SV, 1)
    product_SV = np.take_along_axis(product_SC, best_SV, 1)
    browsed_SV &= ~contained(product_SV, np.where(clicked_SL, list_SL, EMPTY))
    wanted_SV = browsed_SV & (np.take_along_axis(surplus_SC, best_SV, 1) > 0)
    curious_SV = noise.uniform(Stream.CLICK, session_S1, product_SV) < CLICK_SHARE

    product_SX = np.hstack([list_SL, product_SV])
    wanted_SX = np.hstack([clicked_SL & (surplus_SL > 0), wanted_SV])
    pays_SX = noise.uniform(Stream.CHECKOUT, session_S1, product_SX) < CHECKOUT_SHARE
    return Decisions(
        product_SX=product_SX,
        viewed_SX=np.hstack([clicked_SL, browsed_SV]),
        clicked_SX=np.hstack([clicked_SL, browsed_SV & (wanted_SV | curious_SV)]),
        wanted_SX=wanted_SX,
        bought_SX=wanted_SX & pays_SX,
    )


def _read(
    session_S1: NDArray[np.int64], positions: int, noise: Noise, options: ResponseOptions
) -> NDArray[np.bool_]:
    """(S, L) how far each session reads."""
    chance_L = np.arange(1, positions + 1, dtype=np.float64) ** -options.decay
    read_SL: NDArray[np.bool_] = noise.uniform(Stream.DEPTH, session_S1) < chance_L
    return read_SL


def _utility_in_lists(
    sessions: Sessions,
    list_SL: NDArray[np.int32],
    considered_SC: NDArray[np.int32],
    world: World,
    memory: PurchaseMemory,
    options: ResponseOptions,
) -> NDArray[np.float32]:
    """(S, L) -inf where the product is not sold yet; anything where nothing is shown."""
    user_S, catalogue = sessions.user, world.catalogue
    utility_SL = product_utility(user_S, list_SL, world.shoppers, catalogue, world.signal)
    bonus_SM = memory_bonus(user_S, sessions.day, memory, world.shoppers, catalogue)
    for bought_S, bonus_S in zip(memory.product_UM[user_S].T, bonus_SM.T, strict=True):
        utility_SL += np.where(list_SL == bought_S[:, None], bonus_S[:, None], 0)
    odds_SK = category_log_odds(
        world.shoppers.taste_UD[user_S],
        catalogue,
        world.demand.log_season_WK[sessions.week],
        world.signal,
    )
    interest_SK = special.log_softmax(odds_SK, axis=1) + np.log(odds_SK.shape[1])
    unasked_SL = np.take_along_axis(interest_SK, catalogue.category[list_SL], axis=1)
    unasked_SL += log_demand(world)[sessions.week[:, None], list_SL] + np.log(options.list_weight)
    utility_SL += np.where(contained(list_SL, considered_SC), 0, unasked_SL)
    return utility_SL


def log_demand(world: World) -> NDArray[np.float32]:
    """(W, P) log of each product's weight over the mean weight in its category and week."""
    catalogue, first = world.catalogue, world.catalogue.first_of_category[:-1]
    weight_WP = np.exp(world.demand.log_weight_WP, dtype=np.float64)
    total_WK = np.add.reduceat(weight_WP, first, axis=1)
    sold_WK = np.add.reduceat(weight_WP > 0, first, axis=1, dtype=np.float64)
    mean_WP = (total_WK / sold_WK)[:, catalogue.category]
    return (world.demand.log_weight_WP - np.log(mean_WP)).astype(np.float32)
