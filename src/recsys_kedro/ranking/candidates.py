"""Retrieval: which products may be ranked for a query, and what proposed each.

Q queries, P products, N candidates. Every source scores the whole catalogue and proposes
its best; the union is ranked.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from recsys_kedro.options import Options
from recsys_kedro.ranking.scorers import MEMORIES, TAKEN
from recsys_kedro.ranking.snapshot import Snapshot

Floats = NDArray[np.float32]

HISTORY: Final = "history"
EASE: Final = "ease"
NEIGHBOURS: Final = "neighbours"
TRENDING: Final = "trending"
CATEGORY: Final = "category"
NEW: Final = "new"
RETRIEVAL: Final = "retrieval"
SOURCES: Final = (HISTORY, EASE, NEIGHBOURS, RETRIEVAL, TRENDING, CATEGORY, NEW)


class CandidateOptions(Options):
    """How many products each source may propose per query."""

    history: int = Field(150, ge=0, description="own past products, for repeats")
    ease: int = Field(80, ge=0, description="by EASE, per memory")
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
    scores: Mapping[str, Floats],
    snapshot: Snapshot,
    taken: NDArray[np.bool_],
    options: CandidateOptions,
    retrieval: Floats | None = None,
) -> Candidates:
    """The union of what all sources propose, of the products known as of the snapshot.

    All sources but ``history`` propose products that the user has not taken, so that a list
    of new products is as long as a list of all.

    Args:
        scores: (Q, P) catalogue scores by name, see ``Scorers.catalogue_scores``.
        snapshot: popularity, and which products are known.
        taken: (Q, P) whether the user has taken the product.
        options: quotas.
        retrieval: (Q, P) the model's own scores, once there is a model.
    """
    source = np.full(taken.shape, -1, np.int8)
    known = snapshot.products.known
    for name, values, quota in _proposals(scores, snapshot, options, retrieval):
        eligible = (taken if name == HISTORY else ~taken) & known
        _mark_best(source, values, eligible, quota, SOURCES.index(name))
    query, product = np.nonzero(source >= 0)
    counts = np.bincount(query, minlength=len(taken))
    return Candidates(query, product, source[query, product], offsets_of(counts))


def _proposals(
    scores: Mapping[str, Floats],
    snapshot: Snapshot,
    options: CandidateOptions,
    retrieval: Floats | None,
) -> list[tuple[str, Floats, int]]:
    """``(source, (Q, P) or (P,) values, quota)`` in the order in which sources get the credit."""
    own = scores[f"own_{TAKEN}_{MEMORIES[1]}"]
    products, popularity = snapshot.products, snapshot.scorers.popularity
    affinity = products.category_affinity(own)
    result = [(HISTORY, own, options.history)]
    for name, values in scores.items():
        family = name.split("_")[0]
        if family in (EASE, NEIGHBOURS):
            result.append((family, values, getattr(options, family)))
    if retrieval is not None:
        result.append((RETRIEVAL, retrieval, options.retrieval))
    month, days = popularity[:, popularity.shape[1] // 2], popularity[:, 0]
    result += [(TRENDING, month, options.trending), (TRENDING, days, options.trending)]
    result.append((CATEGORY, affinity * month, options.category))
    is_new = products.age_days < options.new_days
    result.append((NEW, np.where(is_new, (affinity + 0.05) * (month + 1), 0.0), options.new))
    return result


def _mark_best(
    source: NDArray[np.int8], values: Floats, eligible: NDArray[np.bool_], quota: int, label: int
) -> None:
    """Write ``label`` where the source's best are not yet proposed; only positive scores count."""
    quota = min(quota, source.shape[1])
    if quota == 0:
        return
    scored = np.where(eligible & (values > 0), values, -np.inf)
    best = np.argpartition(-scored, quota - 1, axis=1)[:, :quota]
    rows = np.arange(len(source))[:, None]
    wanted = (scored[rows, best] > -np.inf) & (source[rows, best] < 0)
    row, column = np.nonzero(wanted)
    source[row, best[row, column]] = label
