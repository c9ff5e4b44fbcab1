"""The lives of all shoppers under fixed lists, without a server: the truth of a policy.

What a policy earns is the mean over all shoppers who live under it. Replays of one seed have
common noise, so the difference of two policies is known shopper by shopper.

Shapes: U users, S sessions, L positions of a list, T kinds of totals.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys_kedro.columns import EventType
from recsys_kedro.simulation.memory import EMPTY, PurchaseMemory
from recsys_kedro.simulation.oracle import Tastes
from recsys_kedro.simulation.response import pieces_bought, remember
from recsys_kedro.simulation.response_choice import Decisions, ResponseOptions, Sessions, decide
from recsys_kedro.simulation.response_noise import Noise
from recsys_kedro.simulation.sessions import SessionEvents


@dataclass(frozen=True)
class Lives:
    """(U,) totals of the users over all their sessions.

    Attributes:
        sessions: how often each came.
        impressions: products shown.
        clicks: on these.
        revenue: of all purchases, recommended or not, shop's currency.
    """

    sessions: NDArray[np.float64]
    impressions: NDArray[np.float64]
    clicks: NDArray[np.float64]
    revenue: NDArray[np.float64]


def replay(
    tastes: Tastes,
    memory: PurchaseMemory,
    sessions: Sessions,
    list_UL: NDArray[np.int32],
    options: ResponseOptions,
    noise: Noise,
) -> Lives:
    """Live the sessions, each user with the same list in all of them.

    Args:
        tastes: the truth of the shop.
        memory: what was bought before; it stays as it is.
        sessions: from :func:`.response.sessions_between`.
        list_UL: products from the top; -1: nothing is shown there.
        options: how shoppers answer.
        noise: of the seed.
    """
    memory, number_S = memory.copy(), _number_of_visit(sessions.user)
    totals_TU = np.zeros((4, len(list_UL)))
    for number in range(int(number_S.max(initial=-1)) + 1):
        now = sessions.rows(number_S == number)
        list_SL = list_UL[now.user]
        decisions = decide(now, list_SL, tastes.world, memory, noise, options)
        bought = _purchases(now, decisions)
        remember(bought, tastes.visits, memory)
        catalogue = tastes.world.catalogue
        paid = catalogue.price[bought.product] * pieces_bought(bought, catalogue, noise)
        totals_TU[0, now.user] += 1
        totals_TU[1, now.user] += (list_SL != EMPTY).sum(axis=1)
        totals_TU[2, now.user] += decisions.clicked_SX[:, : list_SL.shape[1]].sum(axis=1)
        totals_TU[3] += np.bincount(tastes.visits.user[bought.session], paid, len(list_UL))
    return Lives(*totals_TU)


def _number_of_visit(user_S: NDArray[np.int64]) -> NDArray[np.int64]:
    """(S,) how often the user came before; sessions are sorted by time."""
    order = np.argsort(user_S, kind="stable")
    first = np.searchsorted(user_S[order], user_S[order])
    number_S = np.empty(len(user_S), np.int64)
    number_S[order] = np.arange(len(user_S)) - first
    return number_S


def _purchases(sessions: Sessions, decisions: Decisions) -> SessionEvents:
    """What the sessions buy, as of their starts."""
    row, column = np.nonzero(decisions.bought_SX)
    return SessionEvents(
        sessions.session[row],
        decisions.product_SX[row, column],
        np.full(len(row), EventType.PURCHASE, np.int8),
        sessions.start_second[row],
    )
