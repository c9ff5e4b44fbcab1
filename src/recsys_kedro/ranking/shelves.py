"""The catalogue in the orders in which it is gone through when the user is not the reason.

P products, C categories. Made once per snapshot, so that a request reads the head of an order
instead of sorting the catalogue.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from recsys_kedro.ranking.product_state import ProductState
from recsys_kedro.ranking.snapshot import Snapshot

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Order:
    """Some products, best first, over all and within each category.

    Attributes:
        overall: (M,) product indices.
        by_category: (M,) the same, sorted by category first.
        offsets: (C + 1,) category c has ``by_category[offsets[c]:offsets[c + 1]]``.
    """

    overall: Indices
    by_category: Indices
    offsets: Indices

    @classmethod
    def by(cls, values: Floats, products: Indices, state: ProductState) -> Self:
        """The ``products`` by falling ``values`` (P,), equal ones by index."""
        overall = products[np.argsort(-values[products], kind="stable")]
        category = state.category[overall]
        by_category = overall[np.argsort(category, kind="stable")]
        offsets = np.searchsorted(np.sort(category), np.arange(state.categories + 1))
        return cls(overall, by_category, offsets)

    def of_categories(self, categories: Indices, most: int) -> Indices:
        """The best ``most`` of each of these categories."""
        start = self.offsets[categories]
        stop = np.minimum(start + most, self.offsets[categories + 1])
        parts = [self.by_category[first:last] for first, last in zip(start, stop, strict=True)]
        return np.concatenate(parts) if parts else self.by_category[:0]


@dataclass(frozen=True)
class Shelves:
    """What sources walk along, as of a snapshot; only products that are known then.

    Attributes:
        products: what is known of the products.
        unknown: how many products are not known yet.
        month: (P,) popularity with the half-life in the middle of the snapshot's, about a month.
        this_month, these_days: products that sold, by ``month`` and by the shortest half-life.
        new: products of the last days, by ``month``.
    """

    products: ProductState
    unknown: int
    month: Floats
    this_month: Order
    these_days: Order
    new: Order

    @classmethod
    def of(cls, snapshot: Snapshot, new_days: int) -> Self:
        """Put the catalogue of a snapshot in order; new is what is younger than ``new_days``."""
        products, popularity = snapshot.products, snapshot.scorers.popularity
        month = np.ascontiguousarray(popularity[:, popularity.shape[1] // 2])
        days = np.ascontiguousarray(popularity[:, 0])

        def order(values: Floats, shown: NDArray[np.bool_]) -> Order:
            return Order.by(values, np.flatnonzero(shown & products.known), products)

        return cls(
            products,
            int(np.count_nonzero(~products.known)),
            month,
            order(month, month > 0),
            order(days, days > 0),
            order(month, products.age_days < new_days),
        )
