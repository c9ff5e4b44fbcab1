"""Why a product is recommended, in words for the shopper.

E past events and D products of one user, K recommended products; products are rows of one
catalogue. What is cited is what the list rests on: without the past product that a reason
names, the product's score falls (``make bench-explanations`` measures how often).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from recsys_kedro.columns import EventType
from recsys_kedro.ranking.candidates import CATEGORY, HISTORY, NEW, RETRIEVAL, TRENDING
from recsys_kedro.ranking.cold_start import POPULAR
from recsys_kedro.ranking.scorers import IALS, LINEAR, NEIGHBOURS, SEQUENCE

LIKE_HISTORY = (LINEAR, SEQUENCE, IALS, NEIGHBOURS, RETRIEVAL)
NEWEST_READ = 50
DAYS_PER_MONTH = 30.4
Similarity: TypeAlias = sparse.csr_matrix | NDArray[np.float32]
Floats = NDArray[np.float32]
Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Dealings:
    """What one user did with each of D products, the latest first; returns are no dealings.

    Attributes:
        product: (D,) rows of the catalogue.
        seen_days: (D,) since the last event with it.
        bought_days: (D,) since it was last bought, inf if never.
    """

    product: Indices
    seen_days: Floats
    bought_days: Floats

    @classmethod
    def of(cls, product_E: Indices, event_type_E: Indices, age_days_E: Floats) -> Self:
        """Sum up past events; those of products outside the catalogue (-1) are left out."""
        use = (product_E >= 0) & (event_type_E != EventType.RETURN)
        product, place = np.unique(product_E[use], return_inverse=True)
        seen = np.full(len(product), np.inf, np.float32)
        np.minimum.at(seen, place, age_days_E[use])
        bought = np.full(len(product), np.inf, np.float32)
        sale = event_type_E[use] == EventType.PURCHASE
        np.minimum.at(bought, place[sale], age_days_E[use][sale])
        order = np.lexsort((product, seen))
        return cls(product[order], seen[order], bought[order])


def reasons(
    product_K: Indices,
    sources: Sequence[str],
    dealings: Dealings,
    support_DK: Floats | None,
    names: Sequence[str | None],
    categories: Sequence[str | None],
) -> list[str]:
    """(K,) one sentence per recommended product.

    Args:
        product_K: rows of the catalogue.
        sources: what proposed each.
        dealings: the user's past.
        support_DK: how much each of the newest past products speaks for each recommended one,
            for the first D rows of ``dealings``; None where the model has no such measure.
        names: of the catalogue's products.
        categories: of the same.
    """
    place = {product: row for row, product in enumerate(dealings.product.tolist())}
    told = []
    for column, (product, source) in enumerate(zip(product_K.tolist(), sources, strict=True)):
        if source == HISTORY and product in place:
            told.append(_own(dealings, place[product]))
        elif source in LIKE_HISTORY:
            past = _nearest(product, dealings, support_DK, column)
            name = None if past is None else names[past]
            told.append("Fits your taste" if name is None else f"Goes with {name}")
        else:
            told.append(_of_product(source, categories[product] or "the shop"))
    return told


def support(similarity: Similarity, had_D: Indices, wanted_K: Indices) -> Floats:
    """(D, K) how much each past product (row) speaks for each wanted one (column).

    Products outside the similarity's vocabulary (-1) speak for nothing.
    """
    result = np.zeros((len(had_D), len(wanted_K)), np.float32)
    had, wanted = np.flatnonzero(had_D >= 0), np.flatnonzero(wanted_K >= 0)
    if not isinstance(similarity, sparse.csr_matrix):
        result[np.ix_(had, wanted)] = similarity[np.ix_(had_D[had], wanted_K[wanted])]
        return result
    column = np.full(similarity.shape[1], -1)
    column[wanted_K[wanted]] = wanted
    start, stop = similarity.indptr[had_D[had]], similarity.indptr[had_D[had] + 1]
    for row, first, last in zip(had, start, stop, strict=True):
        place = column[similarity.indices[first:last]]
        inside = place >= 0
        result[row, place[inside]] = similarity.data[first:last][inside]
    return result


def _nearest(
    product: int, dealings: Dealings, support_DK: Floats | None, column: int
) -> int | None:
    """The past product, other than itself, that speaks most for the product."""
    if support_DK is None or len(support_DK) == 0:
        return None
    past = dealings.product[: len(support_DK)]
    speaks = np.where(past == product, 0.0, support_DK[:, column])
    best = int(speaks.argmax())
    return int(past[best]) if speaks[best] > 0 else None


def _own(dealings: Dealings, row: int) -> str:
    if np.isfinite(dealings.bought_days[row]):
        return f"You bought it {_ago(float(dealings.bought_days[row]))}"
    return f"You looked at it {_ago(float(dealings.seen_days[row]))}"


def _of_product(source: str, category: str) -> str:
    told = {
        TRENDING: "Popular right now",
        CATEGORY: f"Popular in {category}",
        NEW: f"New in {category}",
        POPULAR: "Popular in this shop",
    }
    return told.get(source, "Fits your taste")


def _ago(days: float) -> str:
    if days < 2:
        return "in the last two days"
    if days < 14:
        return f"{int(days)} days ago"
    if days < 60:
        return f"{round(days / 7)} weeks ago"
    return f"{round(days / DAYS_PER_MONTH)} months ago"
