"""Any model as a ranker of one catalogue: per request its candidates, best first, as arrays.

P products of the catalogue, N candidates of one request, V products that the model knows.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys_kedro import columns as c
from recsys_kedro.models.base import CatalogueScorer, Recommender
from recsys_kedro.models.ease import EASE
from recsys_kedro.models.hybrid import Hybrid
from recsys_kedro.models.item_knn import ItemKNN
from recsys_kedro.models.linear import Linear
from recsys_kedro.models.own_history import OwnHistory
from recsys_kedro.models.popularity import Popularity, RecentPopularity
from recsys_kedro.queries import Queries
from recsys_kedro.ranking.candidates import HISTORY, RETRIEVAL, SOURCES, TRENDING
from recsys_kedro.ranking.cold_start import POPULAR
from recsys_kedro.ranking.reasons import Similarity, support
from recsys_kedro.ranking.scorers import LINEAR, NEIGHBOURS, TAKEN
from recsys_kedro.serving.catalogue import Catalogue
from recsys_kedro.vocabulary import Vocabulary

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]
ALL_SOURCES = (*SOURCES, POPULAR)
NATURES = {
    Popularity.name: POPULAR,
    RecentPopularity.name: TRENDING,
    OwnHistory.name: POPULAR,  # what the user never had is ordered by popularity
    ItemKNN.name: NEIGHBOURS,
    EASE.name: LINEAR,
    Linear.name: LINEAR,
}
BLIND_TO_THE_USER = (Popularity.name, RecentPopularity.name)
CATEGORY_WIDTH = 32


@dataclass(frozen=True)
class Ranked:
    """What a model proposes for one request, best first.

    Attributes:
        product: (N,) rows of the catalogue.
        score: (N,) comparable within this list only.
        source: (N,) positions in :data:`ALL_SOURCES`.
    """

    product: Indices
    score: Floats
    source: NDArray[np.int8]

    def by_source(self) -> dict[str, int]:
        """How many products each source proposed first."""
        counts = np.bincount(self.source, minlength=len(ALL_SOURCES)).tolist()
        return {name: count for name, count in zip(ALL_SOURCES, counts, strict=True) if count}

    def where(self, keep: NDArray[np.bool_]) -> Self:
        """Only the products for which ``keep`` (N,) is true."""
        return type(self)(self.product[keep], self.score[keep], self.source[keep])

    def head(self, most: int) -> Self:
        """The best ``most``."""
        return type(self)(self.product[:most], self.score[:most], self.source[:most])

    def followed_by(self, other: Self) -> Self:
        """This, then what is only in the ``other``, with scores below all of these."""
        more = other.where(~np.isin(other.product, self.product))
        floor = self.score.min(initial=0.0) - 1 - more.score.max(initial=0.0)
        return type(self)(
            np.concatenate([self.product, more.product]),
            np.concatenate([self.score, more.score + floor]),
            np.concatenate([self.source, more.source]),
        )


class Ranker(ABC):
    """A model over a catalogue.

    Attributes:
        taken_types: the event types that count as taken.
        vectors: (P, D) unit vectors whose inner product says how alike two products are.
    """

    taken_types: Collection[str]
    vectors: Floats

    def __init__(self, model: Recommender, known: Vocabulary | None, catalogue: Catalogue) -> None:
        """``known``: the model's own products, where it has a similarity between them."""
        self.model, self.catalogue = model, catalogue
        size = len(catalogue)
        self._to_model = (
            np.full(size, -1) if known is None else known.encode(catalogue.vocabulary.ids)
        )

    @property
    @abstractmethod
    def similarity(self) -> Similarity | None:
        """(V, V) how much the past product (row) speaks for another (column); None: unknown."""

    def rank(self, queries: Queries, depth: int) -> list[Ranked]:
        """One ranking per query, of at least ``depth`` products where there are so many."""
        batches = queries.batches_over(len(self.catalogue))
        return [ranked for _, batch in batches for ranked in self._rank(batch, depth)]

    @abstractmethod
    def _rank(self, queries: Queries, depth: int) -> list[Ranked]:
        """:meth:`rank` for so few queries that all their scores fit into memory."""

    def support(self, had_D: Indices, wanted_K: Indices) -> Floats | None:
        """(D, K) how much each past product speaks for each other; rows of the catalogue."""
        if self.similarity is None:
            return None
        return support(self.similarity, self._to_model[had_D], self._to_model[wanted_K])


class HybridRanker(Ranker):
    """Ranks all candidates of all sources at once."""

    def __init__(self, model: Hybrid, catalogue: Catalogue) -> None:
        vocabulary = model.snapshot.vocabulary
        super().__init__(model, vocabulary, catalogue)
        self.hybrid = model
        self.taken_types = model.taken_types
        self.vectors = _unit(model.content_vectors()[np.maximum(self._to_model, 0)])
        self.vectors[self._to_model < 0] = 0.0
        self._to_catalogue = catalogue.vocabulary.encode(vocabulary.ids)

    @property
    def similarity(self) -> Similarity | None:
        """Cosine of what was taken."""
        return self.hybrid.snapshot.scorers.neighbours[TAKEN]

    def _rank(self, queries: Queries, depth: int) -> list[Ranked]:
        """All candidates, however many were asked for."""
        retrieved = self.hybrid.retrieve(queries)
        score, candidates = self.hybrid.rank(retrieved), retrieved.candidates
        product = self._to_catalogue[candidates.product]
        result = []
        for first, last in zip(candidates.offsets[:-1], candidates.offsets[1:], strict=True):
            order = first + np.lexsort((product[first:last], -score[first:last]))
            order = order[product[order] >= 0]
            result.append(Ranked(product[order], score[order], candidates.source[order]))
        return result


class BaselineRanker(Ranker):
    """A model that scores the catalogue: one source, by its nature, beside the user's own."""

    def __init__(self, model: Recommender, catalogue: Catalogue) -> None:
        known, self._similarity = _similarity_of(model)
        super().__init__(model, known, catalogue)
        self.taken_types = (
            model.target_event_types if isinstance(model, CatalogueScorer) else (c.PURCHASE,)
        )
        self.vectors = _category_vectors(catalogue.categories)

    @property
    def similarity(self) -> Similarity | None:
        """The model's own, if it rests on one."""
        return self._similarity

    def _rank(self, queries: Queries, depth: int) -> list[Ranked]:
        best = self.model.recommend(queries, depth, exclude_seen=False)
        product = self.catalogue.vocabulary.encode(best[c.PRODUCT_ID])
        source = np.full(len(product), ALL_SOURCES.index(NATURES.get(self.model.name, RETRIEVAL)))
        query = best[c.QUERY].to_numpy()
        if self.model.name not in BLIND_TO_THE_USER:
            own = queries.seen(self.catalogue.vocabulary, self.taken_types)[query, product]
            source[own & (product >= 0)] = ALL_SOURCES.index(HISTORY)
        score, known = best[c.SCORE].cast(pl.Float32).to_numpy(), product >= 0
        rows = (np.flatnonzero(known & (query == number)) for number in range(len(queries)))
        return [Ranked(product[row], score[row], source[row].astype(np.int8)) for row in rows]


def ranker_of(model: Recommender, catalogue: Catalogue) -> Ranker:
    """The ranker for a model of any kind."""
    if isinstance(model, Hybrid):
        return HybridRanker(model, catalogue)
    return BaselineRanker(model, catalogue)


def _similarity_of(model: Recommender) -> tuple[Vocabulary | None, Similarity | None]:
    match model:
        case ItemKNN():
            return model.vocabulary, model.neighbours
        case EASE():
            return Vocabulary(model.vocabulary.decode(model.input_H)), model.weights
        case Linear():
            return model.vocabulary, model.weights
    return None, None


def _category_vectors(categories: Sequence[str | None]) -> Floats:
    """(P, D) products of one category point the same way, others nearly at right angles."""
    names = Vocabulary.fit(name for name in categories if name is not None)
    rng = np.random.default_rng(0)
    directions = rng.standard_normal((len(names) + 1, CATEGORY_WIDTH)).astype(np.float32)
    return _unit(directions)[names.encode(pl.Series(categories, dtype=pl.String))]


def _unit(vectors: Floats) -> Floats:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(length, 1e-9), np.float32)
