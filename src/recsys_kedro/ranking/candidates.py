"""Retrieval: which products may be ranked for a query, and what proposed each.

Q queries, P products, N candidates, C categories. Every source proposes the best of the
catalogue by its own measure; the union is ranked.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from recsys_kedro.highest import highest
from recsys_kedro.options import Options
from recsys_kedro.ranking.scorers import (
    IALS,
    LINEAR,
    NEIGHBOURS,
    OWN,
    SEQUENCE,
    own_history,
)
from recsys_kedro.ranking.scores import DenseScores, Scores
from recsys_kedro.ranking.shelves import Shelves

Floats = NDArray[np.float32]

HISTORY: Final = "history"
TRENDING: Final = "trending"
CATEGORY: Final = "category"
NEW: Final = "new"
RETRIEVAL: Final = "retrieval"
NEW_ANYWHERE = 0.05  # interest in new products of categories that the user has not touched
SOURCES: Final = (
    HISTORY,
    LINEAR,
    SEQUENCE,
    IALS,
    NEIGHBOURS,
    RETRIEVAL,
    TRENDING,
    CATEGORY,
    NEW,
)


class CandidateOptions(Options):
    """How many products each source may propose per query."""

    history: int = Field(150, ge=0, description="own past products, for repeats")
    linear: int = Field(80, ge=0, description="by the linear model, per memory")
    sequence: int = Field(80, ge=0, description="by the sequence encoder, where there is one")
    ials: int = Field(80, ge=0, description="by the factorisation, per memory")
    neighbours: int = Field(80, ge=0, description="by neighbourhoods, per behaviour and memory")
    retrieval: int = Field(80, ge=0, description="by the model's own user and product vectors")
    trending: int = Field(60, ge=0, description="recently popular, for each of two half-lives")
    category: int = Field(40, ge=0, description="popular in the user's categories")
    new: int = Field(30, ge=0, description="recently added, in the user's categories first")
    new_days: int = Field(45, ge=1, description="a product is new for this long, days")


@dataclass(frozen=True)
class Candidates:
    """N candidates of Q queries, sorted by query and product.

    Attributes:
        query, product: (N,) row of the query and product index.
        source: (N,) position in :data:`SOURCES` of the first source that proposed it.
        offsets: (Q + 1,) the candidates of query q are ``[offsets[q], offsets[q + 1])``.
    """

    query: NDArray[np.int64]
    product: NDArray[np.int64]
    source: NDArray[np.int8]
    offsets: NDArray[np.int64]

    def where(self, keep: NDArray[np.bool_]) -> "Candidates":
        """Only the candidates for which ``keep`` (N,) is true."""
        counts = np.bincount(self.query[keep], minlength=len(self.offsets) - 1)
        return Candidates(
            self.query[keep], self.product[keep], self.source[keep], offsets_of(counts)
        )


def offsets_of(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """(Q + 1,) where each of Q runs of the given lengths starts, and where the last ends."""
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def propose(
    scores: Mapping[str, Scores],
    shelves: Shelves,
    taken: NDArray[np.bool_],
    options: CandidateOptions,
    retrieval: Floats | None = None,
) -> Candidates:
    """The union of what all sources propose, of the products known as of the snapshot.

    All sources but ``history`` propose products that the user has not taken, so that a list
    of new products is as long as a list of all.

    Args:
        scores: catalogue scores by name, see ``Scorers.catalogue_scores``.
        shelves: the catalogue as of the snapshot, in order.
        taken: (Q, P) whether the user has taken the product.
        options: quotas.
        retrieval: (Q, P) the model's own scores, of any sign, once there is a model.
    """
    source = np.full(taken.shape, -1, np.int8)
    share_QC = shelves.products.category_share(own_history(scores).sparse)
    found = dict(scores) if retrieval is None else {**scores, RETRIEVAL: DenseScores(retrieval)}
    for query, marks in enumerate(source):
        user = _User(query, taken[query], int(np.count_nonzero(taken[query])), share_QC[query])
        _propose_to(marks, user, found, shelves, options)
    query_N, product_N = np.nonzero(source >= 0)
    counts = np.bincount(query_N, minlength=len(taken))
    return Candidates(query_N, product_N, source[query_N, product_N], offsets_of(counts))


@dataclass(frozen=True)
class _User:
    """A query: ``taken`` (P,) and how many; ``share`` (C,) of the history by category."""

    query: int
    taken: NDArray[np.bool_]
    takes: int
    share: Floats


def _propose_to(
    marks: NDArray[np.int8],
    user: _User,
    scores: Mapping[str, Scores],
    shelves: Shelves,
    options: CandidateOptions,
) -> None:
    """Write each source's label on what it proposes to one user; the first has the credit."""
    known = shelves.products.known
    product, value = own_history(scores).highest(user.query, options.history)
    own = user.taken[product] & known[product]
    _mark_best(marks, product[own], value[own], options.history, HISTORY)
    for name, each in scores.items():
        family = name.split("_")[0]
        if family == OWN:
            continue
        quota = getattr(options, family)
        # Enough of the best that the quota is left when what was taken is out.
        product, value = each.highest(user.query, quota + user.takes + shelves.unknown)
        free = ~user.taken[product] & known[product]
        above = -np.inf if family == RETRIEVAL else 0.0
        _mark_best(marks, product[free], value[free], quota, family, above)
    for order in (shelves.this_month, shelves.these_days):
        best = _free(order.overall[: options.trending + user.takes], user)[: options.trending]
        _mark(marks, best, TRENDING)
    interest, month = np.flatnonzero(user.share), shelves.month
    quota = options.category
    best = _free(shelves.this_month.of_categories(interest, quota + user.takes), user)
    value = user.share[shelves.products.category[best]] * month[best]
    _mark_best(marks, best, value, quota, CATEGORY)
    most = options.new + user.takes
    by_interest = shelves.new.of_categories(interest, most)
    best = _free(np.union1d(by_interest, shelves.new.overall[:most]), user)
    value = (user.share[shelves.products.category[best]] + NEW_ANYWHERE) * (month[best] + 1)
    _mark_best(marks, best, value, options.new, NEW)


def _free(product: NDArray[np.int64], user: _User) -> NDArray[np.int64]:
    return product[~user.taken[product]]


def _mark_best(
    marks: NDArray[np.int8],
    product: NDArray[np.integer],
    value: Floats,
    quota: int,
    source: str,
    above: float = 0.0,
) -> None:
    """Of these products propose the best ``quota`` with a value above ``above``."""
    high = value > above
    product, value = product[high], value[high]
    _mark(marks, product[highest(value, quota)], source)


def _mark(marks: NDArray[np.int8], product: NDArray[np.integer], source: str) -> None:
    """Write the source's label on what is not proposed yet."""
    marks[product[marks[product] < 0]] = SOURCES.index(source)
