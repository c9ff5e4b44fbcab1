"""What a scorer says of all products for some queries.

Q queries, P products, N pairs of a query and a product, F factors.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from recsys_kedro.highest import highest
from recsys_kedro.models.ials import Factorisation

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]


class Scores(ABC):
    """(Q, P) scores of one scorer."""

    @property
    @abstractmethod
    def best(self) -> Floats:
        """(Q,) the highest score of each query."""

    @abstractmethod
    def at(self, query: Indices, product: Indices) -> Floats:
        """(N,) the scores of these pairs."""

    @abstractmethod
    def highest(self, query: int, count: int) -> tuple[Indices, Floats]:
        """Products with the ``count`` highest scores of a query among them, and the scores.

        In no order. Where nearly all scores are 0, of those that are not.
        """


@dataclass(frozen=True)
class DenseScores(Scores):
    """All of them as an array.

    Attributes:
        dense: (Q, P).
    """

    dense: Floats

    @cached_property
    def best(self) -> Floats:
        """See :attr:`Scores.best`."""
        best: Floats = self.dense.max(axis=1)
        return best

    def at(self, query: Indices, product: Indices) -> Floats:
        """See :meth:`Scores.at`."""
        return self.dense[query, product]

    def highest(self, query: int, count: int) -> tuple[Indices, Floats]:
        """See :meth:`Scores.highest`."""
        product = highest(self.dense[query], count)
        return product, self.dense[query, product]


@dataclass(frozen=True)
class SparseScores(DenseScores):
    """Scores of which nearly all are 0.

    Attributes:
        cells: where the numbers of ``dense`` are not 0.
        first: the row of ``cells`` that is query 0.
    """

    cells: sparse.csr_matrix
    first: int

    @cached_property
    def best(self) -> Floats:
        """See :attr:`Scores.best`; 0 where none is above 0."""
        cells = self.sparse
        best = np.zeros(len(self.dense), np.float32)
        some = np.flatnonzero(np.diff(cells.indptr))
        if len(some):
            best[some] = np.maximum.reduceat(cells.data, cells.indptr[some]).clip(0)
        return best

    @cached_property
    def sparse(self) -> sparse.csr_matrix:
        """(Q, P) the numbers that are not 0."""
        return self.cells[self.first : self.first + len(self.dense)]

    def highest(self, query: int, count: int) -> tuple[Indices, Floats]:
        """See :meth:`Scores.highest`; all that are not 0, which are few."""
        del count
        row = self.first + query
        cells = slice(self.cells.indptr[row], self.cells.indptr[row + 1])
        return self.cells.indices[cells], self.cells.data[cells]


@dataclass(frozen=True)
class FactorScores(Scores):
    """Scores of a factorisation, worked out where they are asked for: for a few queries.

    Attributes:
        users: (Q, F).
        factorisation: of the products.
    """

    users: Floats
    factorisation: Factorisation

    @cached_property
    def best(self) -> Floats:
        """See :attr:`Scores.best`."""
        each = [self.highest(query, 1)[1].max() for query in range(len(self.users))]
        return np.array(each, np.float32)

    def at(self, query: Indices, product: Indices) -> Floats:
        """See :meth:`Scores.at`."""
        factors = self.factorisation.product_factors
        scores: Floats = np.einsum("nf,nf->n", factors[product], self.users[query])
        return scores

    def highest(self, query: int, count: int) -> tuple[Indices, Floats]:
        """See :meth:`Scores.highest`."""
        return self.factorisation.highest(self.users[query], count)
