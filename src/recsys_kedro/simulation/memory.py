"""What each user bought lately: the state that carries purchases over to later choices."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SLOTS = 8
EMPTY = -1


@dataclass
class PurchaseMemory:
    """The last :data:`SLOTS` different products that each of U users bought. Changes in place.

    Attributes:
        product_UM: (U, M) product index, -1 for an empty slot.
        day_UM: (U, M) day of the last purchase, from the start of the period.
    """

    product_UM: NDArray[np.int32]
    day_UM: NDArray[np.float32]

    @classmethod
    def empty(cls, users: int) -> "PurchaseMemory":
        """Nobody has bought anything."""
        return cls(
            np.full((users, SLOTS), EMPTY, np.int32), np.full((users, SLOTS), -np.inf, np.float32)
        )

    def copy(self) -> "PurchaseMemory":
        """One that changes by itself."""
        return PurchaseMemory(self.product_UM.copy(), self.day_UM.copy())

    def remember(
        self,
        user: NDArray[np.integer],
        product: NDArray[np.integer],
        day: NDArray[np.floating],
    ) -> None:
        """Add purchases (any order); of more than fit, the latest stay."""
        if not len(user):
            return
        buyers = np.unique(user)
        slot = self.product_UM[buyers] != EMPTY
        user = np.concatenate([np.repeat(buyers, slot.sum(axis=1)), user])
        product = np.concatenate([self.product_UM[buyers][slot], product])
        day = np.concatenate([self.day_UM[buyers][slot], day])
        user, product, day, rank = _latest(user, product, day)
        fits = rank < SLOTS
        user, product, day, rank = user[fits], product[fits], day[fits], rank[fits]
        self.product_UM[buyers], self.day_UM[buyers] = EMPTY, -np.inf
        self.product_UM[user, rank], self.day_UM[user, rank] = product, day


def _latest(
    user: NDArray[np.integer], product: NDArray[np.integer], day: NDArray[np.floating]
) -> tuple[NDArray[np.integer], NDArray[np.integer], NDArray[np.floating], NDArray[np.int64]]:
    """Each (user, product) once with its last day, and its rank in the user (0: the latest)."""
    order = np.lexsort((-day, product, user))
    user, product, day = user[order], product[order], day[order]
    first = np.ones(len(user), bool)
    first[1:] = (user[1:] != user[:-1]) | (product[1:] != product[:-1])
    user, product, day = user[first], product[first], day[first]
    order = np.lexsort((product, -day, user))
    user, product, day = user[order], product[order], day[order]
    starts = np.flatnonzero(np.concatenate([[True], user[1:] != user[:-1]]))
    rank = np.arange(len(user)) - np.repeat(starts, np.diff(np.append(starts, len(user))))
    return user, product, day, rank
