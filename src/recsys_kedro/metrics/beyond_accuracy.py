"""What lists are like apart from being right: coverage, novelty, diversity, popularity bias.

Two kinds of metrics, each with its registry: :data:`LIST_METRICS` have one value per user
(NaN where a list does not give it), :data:`EXPOSURE_METRICS` one value for all lists
together. A new metric is a function and a line in one of them.

Symbols: U lists, K places, P products of the catalogue; ``products_UK`` holds product
indices, -1 for an empty place or a product outside the catalogue.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Final, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import sparse, stats

from recsys_kedro import columns as c
from recsys_kedro.vocabulary import Vocabulary


@dataclass(frozen=True)
class Catalogue:
    """The P products that could be shown as of the cut, and what was known of them.

    Attributes:
        vocabulary: the products, in the order of the arrays.
        category_P: code of the category, -1 where it has none.
        takers_P: users who had taken the product before the cut.
        users: users who had taken anything before the cut.
    """

    vocabulary: Vocabulary
    category_P: NDArray[np.int64]
    takers_P: NDArray[np.int64]
    users: int

    @property
    def information_P(self) -> NDArray[np.float64]:
        """Self-information in bits: ``log2(users / takers)``; no taker counts as one."""
        return np.log2(max(self.users, 1) / np.maximum(self.takers_P, 1))

    @property
    def percentile_P(self) -> NDArray[np.float64]:
        """Place by takers, from near 0 (least) to near 1 (most); the mean is 0.5."""
        rank_P: NDArray[np.float64] = stats.rankdata(self.takers_P, method="average")
        return (rank_P - 0.5) / len(self.takers_P)


ListMetric: TypeAlias = Callable[[NDArray[np.int64], Catalogue, int], NDArray[np.float64]]
ExposureMetric: TypeAlias = Callable[[NDArray[np.int64], Catalogue, int], float]


def make_catalogue(
    events: pl.DataFrame,
    products: pl.DataFrame,
    cut: datetime,
    target_event_types: tuple[str, ...],
) -> Catalogue:
    """The catalogue as of ``cut``; nothing at or after it is used.

    A product belongs to it if it has an event before the cut, or is in the product table
    and was not created at the cut or later.
    """
    past = events.filter(pl.col(c.TIMESTAMP) < cut)
    taken = past.filter(pl.col(c.EVENT_TYPE).is_in(list(target_event_types)))
    listed = products.filter((pl.col(c.CREATED_AT) < cut).fill_null(value=True))
    vocabulary = Vocabulary.fit(pl.concat([past[c.PRODUCT_ID], listed[c.PRODUCT_ID]]))
    categories = Vocabulary.fit(products[c.CATEGORY])
    known = (
        pl.DataFrame({c.PRODUCT_ID: vocabulary.ids})
        .join(products.select(c.PRODUCT_ID, c.CATEGORY), on=c.PRODUCT_ID, how="left")
        .join(
            taken.group_by(c.PRODUCT_ID).agg(takers=pl.col(c.USER_ID).n_unique().cast(pl.Int64)),
            on=c.PRODUCT_ID,
            how="left",
        )
        .sort(c.PRODUCT_ID)
    )
    return Catalogue(
        vocabulary,
        categories.encode(known[c.CATEGORY]),
        known["takers"].fill_null(0).to_numpy(),
        taken[c.USER_ID].n_unique(),
    )


def novelty(products_UK: NDArray[np.int64], catalogue: Catalogue, k: int) -> NDArray[np.float64]:
    """Mean self-information of the first k products, in bits; popular products are low.

    ``N@k = mean_{i <= k} log2(U / u_i)`` with u_i of U users who had taken product i before
    the cut. Zhou et al. (2010). One bit more is half as many takers.

    >>> shop = Catalogue(Vocabulary.fit(["a", "b"]), np.array([0, 1]), np.array([4, 1]), 8)
    >>> novelty(np.array([[0, 1]]), shop, k=2)
    array([2.])
    """
    return _mean_over_places(catalogue.information_P, products_UK[:, :k])


def popularity(products_UK: NDArray[np.int64], catalogue: Catalogue, k: int) -> NDArray[np.float64]:
    """Mean popularity percentile of the first k products.

    ``pop@k = mean_{i <= k} percentile(u_i)``: 0.5 is what products drawn blindly from the
    catalogue have, 1 only the most popular. The average recommendation popularity of Yin et
    al. (2012), as a percentile so that shops compare.

    >>> shop = Catalogue(Vocabulary.fit(["a", "b"]), np.array([0, 1]), np.array([4, 1]), 8)
    >>> popularity(np.array([[0, -1]]), shop, k=2)
    array([0.75])
    """
    return _mean_over_places(catalogue.percentile_P, products_UK[:, :k])


def diversity(products_UK: NDArray[np.int64], catalogue: Catalogue, k: int) -> NDArray[np.float64]:
    """Share of the pairs within the first k products that are of different categories.

    ``ILD@k = 1 - sum_c n_c (n_c - 1) / (n (n - 1))`` with n_c products of category c among n
    products with a category; NaN for fewer than two. Intra-list distance with the distance
    "another category", Smyth and McClave (2001).

    >>> shop = Catalogue(Vocabulary.fit("abc"), np.array([0, 0, 1]), np.array([1, 1, 1]), 1)
    >>> diversity(np.array([[0, 1, 2]]), shop, k=3).round(4)
    array([0.6667])
    """
    shown_UK = products_UK[:, :k]
    row, place = np.nonzero(shown_UK >= 0)
    category = catalogue.category_P[shown_UK[row, place]]
    known = category >= 0
    shape = (len(shown_UK), max(int(catalogue.category_P.max(initial=-1)) + 1, 1))
    counts = sparse.csr_array(
        (np.ones(int(known.sum())), (row[known], category[known])), shape=shape
    )
    counts.sum_duplicates()
    n = np.asarray(counts.sum(axis=1)).ravel()
    same = np.asarray(counts.power(2).sum(axis=1)).ravel() - n
    pairs = n * (n - 1)
    return np.where(pairs > 0, 1.0 - same / np.where(pairs > 0, pairs, 1.0), np.nan)


def coverage(products_UK: NDArray[np.int64], catalogue: Catalogue, k: int) -> float:
    """Share of the catalogue that is in the first k places of at least one list.

    ``coverage@k = |union of the lists| / P``. Ge, Delgado-Battenfeld and Jannach (2010).

    >>> shop = Catalogue(Vocabulary.fit("abcd"), np.zeros(4, int), np.ones(4, int), 1)
    >>> coverage(np.array([[0, 1], [1, -1]]), shop, k=2)
    0.5
    """
    return int((_exposure(products_UK, catalogue, k) > 0).sum()) / len(catalogue.vocabulary)


def gini(products_UK: NDArray[np.int64], catalogue: Catalogue, k: int) -> float:
    """Gini index of how often each product is shown in the first k places.

    ``G@k = sum_p (2 p - P - 1) x_p / (P sum_p x_p)`` with x the number of lists that show a
    product, in ascending order. 0: all are shown equally; near 1: a few take all places.
    NaN if nothing is shown. Fleder and Hosanagar (2009).

    >>> shop = Catalogue(Vocabulary.fit("abcd"), np.zeros(4, int), np.ones(4, int), 1)
    >>> gini(np.array([[0], [0]]), shop, k=1)
    0.75
    """
    exposure_P = np.sort(_exposure(products_UK, catalogue, k))
    shown, size = exposure_P.sum(), len(exposure_P)
    if shown == 0:
        return float("nan")
    return float(((2 * np.arange(1, size + 1) - size - 1) * exposure_P).sum() / (size * shown))


def _exposure(products_UK: NDArray[np.int64], catalogue: Catalogue, k: int) -> NDArray[np.int64]:
    shown = products_UK[:, :k]
    return np.bincount(shown[shown >= 0], minlength=len(catalogue.vocabulary))


def _mean_over_places(
    values_P: NDArray[np.float64], products_UK: NDArray[np.int64]
) -> NDArray[np.float64]:
    """(U,) mean over the places that are taken; NaN for an empty list."""
    taken_UK = products_UK >= 0
    count_U = taken_UK.sum(axis=1)
    total_U = np.where(taken_UK, values_P[products_UK], 0.0).sum(axis=1)
    return np.where(count_U > 0, total_U / np.maximum(count_U, 1), np.nan)


LIST_METRICS: Final[Mapping[str, ListMetric]] = MappingProxyType(
    {"novelty": novelty, "diversity": diversity, "popularity": popularity}
)
EXPOSURE_METRICS: Final[Mapping[str, ExposureMetric]] = MappingProxyType(
    {"coverage": coverage, "gini": gini}
)
