"""The contract that every model keeps: fit, recommend, score, save, load."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys_kedro import columns as c
from recsys_kedro.options import Options
from recsys_kedro.queries import Queries
from recsys_kedro.vocabulary import Vocabulary

if TYPE_CHECKING:
    from recsys_kedro.training_lists import TrainingLists

TIE_BREAK = 1e-6

Enough = Callable[[Sequence[Mapping[str, float]]], bool]


@dataclass(frozen=True)
class Validation:
    """What an iterative model watches while it learns.

    Attributes:
        queries: what is asked.
        truth: what their users then took (``task, user_id, product_id``).
        enough: asked before every epoch but the first, with the figures of those so far; True
            ends the fit. None: nobody is asked, as with a fit in several processes.
    """

    queries: Queries
    truth: pl.DataFrame
    enough: Enough | None = None


@dataclass(frozen=True)
class TrainingData:
    """All that a model may learn from. Nothing in it is at or after ``cut``.

    Attributes:
        events: the event table, strictly before ``cut``.
        products, users: the tables (rows created after the cut are not used).
        cut: UTC; the fitted model answers queries as of this time or later.
        target_event_types: what counts as taken.
        product_snapshots: product features as of snapshot times up to the cut, or None.
        lists: training lists whose labels end by the cut, for models that rank, or None.
        validation: what an iterative model watches to stop early, or None.
    """

    events: pl.DataFrame
    products: pl.DataFrame
    users: pl.DataFrame
    cut: datetime
    target_event_types: tuple[str, ...]
    product_snapshots: pl.DataFrame | None = None
    lists: "TrainingLists | None" = None
    validation: Validation | None = None

    def targets(self) -> pl.DataFrame:
        """The target events only."""
        return self.events.filter(pl.col(c.EVENT_TYPE).is_in(list(self.target_event_types)))


class Recommender(ABC):
    """A fitted model.

    Class attributes:
        name: what it is called in parameters, tables and reports.
        options_type: its parameters.
    """

    name: ClassVar[str]
    options_type: ClassVar[type[Options]]

    @classmethod
    @abstractmethod
    def fit(cls, data: TrainingData, options: Any, seed: int) -> Self:
        """Learn from ``data``. Same data, options and seed give the same model."""

    @abstractmethod
    def recommend(self, queries: Queries, k: int, *, exclude_seen: bool) -> pl.DataFrame:
        """The best ``k`` products of each query, from the whole catalogue.

        Args:
            queries: Q queries.
            k: list length; shorter lists come back where fewer products are left.
            exclude_seen: leave out products that the user has taken (a target event).

        Returns:
            ``query`` (0 to Q - 1), ``product_id``, ``rank`` (from 1), ``score``; sorted by
            query and rank.
        """

    @abstractmethod
    def score(self, queries: Queries, candidates: pl.DataFrame) -> NDArray[np.float32]:
        """(N,) the score of each row of ``candidates`` (``query``, ``product_id``).

        An unknown product scores -inf.
        """

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write the model into ``folder`` without pickle."""

    @classmethod
    @abstractmethod
    def load(cls, folder: Path) -> Self:
        """Read what :meth:`save` wrote."""


class CatalogueScorer(Recommender):
    """A model that can score the whole catalogue for a batch of queries at once.

    Subclasses give :meth:`score_catalogue`; ties, and products without any evidence, are
    ordered by ``popularity``, so a user without history gets the popular list.

    Attributes:
        vocabulary: the P products that it knows.
        popularity: (P,) non-negative.
        target_event_types: what counts as taken.
    """

    vocabulary: Vocabulary
    popularity: NDArray[np.float32]
    target_event_types: tuple[str, ...]

    @abstractmethod
    def score_catalogue(self, queries: Queries) -> NDArray[np.float32]:
        """(Q, P) scores; higher is better."""

    def recommend(self, queries: Queries, k: int, *, exclude_seen: bool) -> pl.DataFrame:
        """See :meth:`Recommender.recommend`."""
        nothing = np.empty((0, len(self.vocabulary)), np.float32)
        parts = [top_k(nothing, k, self.vocabulary)]  # so that no query gives an empty table
        for start, batch, scores in self._scored_batches(queries):
            if exclude_seen:
                seen = batch.seen(self.vocabulary, self.target_event_types)
                scores[seen] = -np.inf
            parts.append(top_k(scores, k, self.vocabulary, first_query=start))
        return pl.concat(parts)

    def score(self, queries: Queries, candidates: pl.DataFrame) -> NDArray[np.float32]:
        """See :meth:`Recommender.score`."""
        product = self.vocabulary.encode(candidates[c.PRODUCT_ID])
        query = candidates[c.QUERY].to_numpy()
        result = np.full(candidates.height, -np.inf, np.float32)
        for start, batch, scores in self._scored_batches(queries):
            here = (query >= start) & (query < start + len(batch)) & (product >= 0)
            result[here] = scores[query[here] - start, product[here]]
        return result

    def _scored_batches(
        self, queries: Queries
    ) -> Iterator[tuple[int, Queries, NDArray[np.float32]]]:
        tie_break = TIE_BREAK * self.popularity / max(float(self.popularity.max()), 1e-12)
        for start, batch in queries.batches_over(len(self.vocabulary)):
            scores = self.score_catalogue(batch)
            scale = np.maximum(np.abs(scores).max(axis=1, keepdims=True), 1e-12)
            yield start, batch, scores + scale * tie_break


def top_k(
    scores: NDArray[np.float32], k: int, vocabulary: Vocabulary, first_query: int = 0
) -> pl.DataFrame:
    """The ``k`` best columns of each row as ``query, product_id, rank, score``.

    Rows of -inf are left out. Equal scores are ordered by product index.
    """
    k = min(k, scores.shape[1])
    best = best_columns(scores, k)
    values = np.take_along_axis(scores, best, axis=1)
    order = np.argsort(-values, axis=1, kind="stable")
    best, values = np.take_along_axis(best, order, 1), np.take_along_axis(values, order, 1)
    frame = pl.DataFrame(
        {
            c.QUERY: np.repeat(np.arange(len(scores), dtype=np.int64) + first_query, k),
            c.PRODUCT_ID: vocabulary.decode(best.ravel()),
            c.RANK: np.tile(np.arange(1, k + 1, dtype=np.int64), len(scores)),
            c.SCORE: values.ravel().astype(np.float64),
        }
    )
    return frame.filter(pl.col(c.SCORE).is_finite())


def best_columns(scores: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """(Q, k) the columns of the ``k`` best scores, ascending.

    Of equal scores at the border the first columns stay: argpartition alone picks any of them,
    so that a list of 10 need not be the head of a list of 50.
    """
    if k == 0:
        return np.empty((len(scores), 0), np.int64)
    last = -np.partition(-scores, k - 1, axis=1)[:, k - 1 : k]
    above, level = scores > last, scores == last
    free = k - above.sum(axis=1, keepdims=True)
    kept = above | (level & (np.cumsum(level, axis=1) <= free))
    return np.nonzero(kept)[1].reshape(len(scores), k)
