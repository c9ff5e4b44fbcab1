"""What a recommender could know at best: the expected purchases under the true tastes.

Shapes: Q users asked, P products, K categories, M remembered purchases.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import special

from recsys_kedro import columns as c
from recsys_kedro.simulation.choice import (
    OUTSIDE_WEIGHT,
    category_log_odds,
    memory_bonus,
    product_utility,
)
from recsys_kedro.simulation.demand import Visits
from recsys_kedro.simulation.memory import EMPTY, PurchaseMemory
from recsys_kedro.simulation.options import SimulationOptions
from recsys_kedro.simulation.period import SECONDS_PER_DAY, WEEK_SECONDS, period_start
from recsys_kedro.simulation.sessions import DRAWN_PRODUCTS, World
from recsys_kedro.vocabulary import Vocabulary

CELLS_PER_BLOCK = 2**20


@dataclass(frozen=True)
class Tastes:
    """The truth of a simulated shop.

    Attributes:
        world: users, products and demand.
        visits: who came when.
        options: what it was simulated with.
    """

    world: World
    visits: Visits
    options: SimulationOptions

    @property
    def product_ids(self) -> pl.Series:
        """(P,) the columns of :func:`oracle_scores`."""
        return self.world.catalogue.ids

    def seconds(self, at: datetime) -> float:
        """Seconds from the start of the period to ``at``."""
        return (at - period_start(self.options)).total_seconds()


def oracle_scores(
    tastes: Tastes,
    user_ids: pl.Series,
    as_of: datetime,
    history: pl.DataFrame | None = None,
    horizon: timedelta = timedelta(days=28),
) -> NDArray[np.float32]:
    """(Q, P) expected purchases per session in the middle of ``[as_of, as_of + horizon)``.

    To first order: probability of the category, times that of being considered, times
    weight over the mean total weight of such a session. Products that are not yet in the
    catalogue at ``as_of`` score -inf.

    Args:
        tastes: the truth.
        user_ids: (Q,) who is asked for.
        as_of: UTC.
        history: events; purchases strictly before ``as_of`` raise consumables when they are
            due and lower durable products. Left out: nobody has bought anything.
        horizon: length of the window that is foreseen.

    Raises:
        ValueError: if a user is not one of the shop's.
    """
    user_Q = _user_indices(tastes, user_ids)
    memory = memory_as_of(tastes, history, as_of)
    scores = np.empty((len(user_Q), len(tastes.product_ids)), np.float32)
    rows = max(1, CELLS_PER_BLOCK // scores.shape[1])
    for start in range(0, len(user_Q), rows):
        block = slice(start, start + rows)
        scores[block] = _expected_purchases(tastes, user_Q[block], as_of + horizon / 2, memory)
    unknown = tastes.world.catalogue.created_second >= tastes.seconds(as_of)
    scores[:, unknown] = -np.inf
    return scores


def _expected_purchases(
    tastes: Tastes, user_Q: NDArray[np.int64], at: datetime, memory: PurchaseMemory
) -> NDArray[np.float64]:
    world, second = tastes.world, tastes.seconds(at)
    catalogue, demand = world.catalogue, world.demand
    week = int(np.clip(second // WEEK_SECONDS, 0, demand.weeks - 1))
    odds_QK = category_log_odds(
        world.shoppers.taste_UD[user_Q], catalogue, demand.log_season_WK[week], world.signal
    )
    about_QK = special.softmax(odds_QK.astype(np.float64), axis=1)
    product_QP = np.broadcast_to(np.arange(len(catalogue)), (len(user_Q), len(catalogue)))
    weight_QP = np.exp(
        product_utility(user_Q, product_QP, world.shoppers, catalogue, world.signal), dtype=float
    )
    bonus_QM = memory_bonus(
        user_Q, np.full(len(user_Q), second / SECONDS_PER_DAY), memory, world.shoppers, catalogue
    )
    row, slot = np.nonzero(memory.product_UM[user_Q] != EMPTY)
    bought = memory.product_UM[user_Q][row, slot]
    again = weight_QP[row, bought] * np.exp(bonus_QM[row, slot], dtype=float)
    weight_QP *= _considered(tastes, week)
    weight_QP[row, bought] = 0.0
    total_QK = np.add.reduceat(weight_QP, catalogue.first_of_category[:-1], axis=1)
    again_Q = np.bincount(row, again, minlength=len(user_Q))
    rate_QK = about_QK / (OUTSIDE_WEIGHT + total_QK + again_Q[:, None])
    scores: NDArray[np.float64] = weight_QP * rate_QK[:, catalogue.category]
    scores[row, bought] = again * rate_QK.sum(axis=1)[row]
    return scores


def _considered(tastes: Tastes, week: int) -> NDArray[np.float64]:
    """(P,) probability that a session about its category considers the product."""
    catalogue = tastes.world.catalogue
    weight = np.exp(tastes.world.demand.log_weight_WP[week], dtype=float)
    total = np.add.reduceat(weight, catalogue.first_of_category[:-1])
    share: NDArray[np.float64] = 1 - (1 - weight / total[catalogue.category]) ** DRAWN_PRODUCTS
    return share


def _user_indices(tastes: Tastes, user_ids: pl.Series) -> NDArray[np.int64]:
    found = Vocabulary(tastes.world.shoppers.ids).encode(user_ids)
    unknown = np.flatnonzero(found < 0)
    if len(unknown):
        msg = (
            f"user_ids: {len(unknown)} are not users of the simulated shop "
            f"(first: row {unknown[0]}, {user_ids[int(unknown[0])]!r})"
        )
        raise ValueError(msg)
    return found


def memory_as_of(tastes: Tastes, history: pl.DataFrame | None, as_of: datetime) -> PurchaseMemory:
    """What each user had bought in ``history`` strictly before ``as_of``; None: nothing."""
    memory = PurchaseMemory.empty(len(tastes.world.shoppers))
    if history is None:
        return memory
    bought = history.filter(pl.col(c.EVENT_TYPE) == c.PURCHASE, pl.col(c.TIMESTAMP) < as_of)
    elapsed = bought[c.TIMESTAMP] - period_start(tastes.options)
    days = elapsed.dt.total_seconds().to_numpy() / SECONDS_PER_DAY
    memory.remember(
        _user_indices(tastes, bought[c.USER_ID]),
        Vocabulary(tastes.product_ids).encode(bought[c.PRODUCT_ID]),
        days,
    )
    return memory
