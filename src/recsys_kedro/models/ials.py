"""Matrix factorisation by implicit alternating least squares.

Y. Hu, Y. Koren, C. Volinsky, "Collaborative Filtering for Implicit Feedback Datasets", ICDM
2008, as in the ``implicit`` package.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from implicit.als import AlternatingLeastSquares
from numpy.typing import NDArray
from pydantic import Field
from scipy import sparse
from threadpoolctl import threadpool_limits

from recsys_kedro.highest import highest
from recsys_kedro.models.base import TrainingData
from recsys_kedro.models.baseline import HistoryModel, HistoryOptions, learning_matrix
from recsys_kedro.options import Options

FEW_USERS = 8
FIRST_BLOCK = 1_024  # products that are looked at before the bound is asked
ROUNDING = 1e-5  # of single precision, relative


class FactorOptions(Options):
    """The factorisation."""

    factors: int = Field(64, ge=1, description="dimensions of a product's vector")
    regularization: float = Field(1, gt=0, description="added to the diagonal of each solve")
    alpha: float = Field(3, ge=0, description="confidence is 1 + alpha * weight")
    iterations: int = Field(15, ge=1, description="rounds over users and products")


class IALSOptions(HistoryOptions, FactorOptions):
    """The factorisation, and the options of the history."""


@dataclass(frozen=True)
class Factorisation:
    """Products as vectors; no user is looked up.

    The vector of a user is the least-squares answer to the user's own history, so new users and
    new events count without a refit.

    Attributes:
        product_factors: (P, F).
        options: as fitted.
    """

    product_factors: NDArray[np.float32]
    options: FactorOptions

    @classmethod
    def fit(cls, taken: sparse.csr_matrix, options: FactorOptions, seed: int) -> Self:
        """Of a matrix (U, P) of interactions."""
        # One BLAS thread under implicit's own: nested threads are slow, and warned about.
        with threadpool_limits(1, "blas"):
            solver = _solver(options, seed)
            solver.fit(_confidence(taken, options.alpha), show_progress=False)
        return cls(solver.item_factors, options)

    def scores(self, history: sparse.csr_matrix) -> NDArray[np.float32]:
        """(Q, P) of users with these histories (Q, P)."""
        return self.scores_of(self.user_factors(history))

    def user_factors(self, history: sparse.csr_matrix) -> NDArray[np.float32]:
        """(Q, F) the vectors of users with these histories (Q, P)."""
        confidence = _confidence(history, self.options.alpha)
        users: NDArray[np.float32] = self._fold_in.recalculate_user(
            np.arange(history.shape[0]), confidence
        )
        return users

    def scores_of(self, users: NDArray[np.float32]) -> NDArray[np.float32]:
        """(Q, P) of users with these vectors (Q, F)."""
        if len(users) <= FEW_USERS:
            # The other way round BLAS would lay out all products anew for these few rows.
            return np.ascontiguousarray((self.product_factors @ users.T).T)
        scores: NDArray[np.float32] = users @ self.product_factors.T
        return scores

    def highest(
        self, user: NDArray[np.float32], count: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The products of the ``count`` highest scores for a user (F,), and the scores.

        In no order. Goes along the products from the longest vector on, and ends where even one
        that points as the user does could not be among them any more (Cauchy-Schwarz): of many
        products most are rarely taken, and have short vectors.
        """
        order, length = self._by_length
        bound = (1 + ROUNDING) * np.linalg.norm(user) * length
        product, score = np.empty(0, np.int64), np.empty(0, np.float32)
        first, size = 0, max(FIRST_BLOCK, count)
        while count > 0 and first < len(order):
            block = order[first : first + size]
            product = np.concatenate([product, block])
            score = np.concatenate([score, self.product_factors[block] @ user])
            best = highest(score, count)
            product, score = product[best], score[best]
            first, size = first + size, 2 * size
            if first < len(order) and score.min() >= bound[first]:
                break
        return product, score

    @cached_property
    def _by_length(self) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The products by the length of their vectors, longest first, and these lengths."""
        length = np.linalg.norm(self.product_factors, axis=1)
        order = np.argsort(-length, kind="stable")
        return order, length[order]

    @cached_property
    def _fold_in(self) -> Any:
        with threadpool_limits(1, "blas"):
            solver = _solver(self.options, seed=0)
        solver.item_factors = self.product_factors
        return solver


@dataclass(eq=False)
class IALS(HistoryModel):
    """Scores products by a factorisation of who took what.

    Attributes:
        factorisation: of the products.
    """

    name = "ials"
    options_type = IALSOptions

    factorisation: Factorisation

    @classmethod
    def fit(cls, data: TrainingData, options: IALSOptions, seed: int) -> Self:
        """See :meth:`Recommender.fit`."""
        parts = cls.shared_parts(data, options)
        matrix = learning_matrix(data, parts["vocabulary"], options)
        return cls(**parts, factorisation=Factorisation.fit(matrix, options, seed))

    def from_history(self, history: sparse.csr_matrix) -> NDArray[np.float32]:
        """See :meth:`HistoryModel.from_history`."""
        return self.factorisation.scores(history)

    def save(self, folder: Path) -> None:
        """See :meth:`Recommender.save`."""
        super().save(folder)
        factors = self.factorisation.product_factors
        np.save(folder / "product_factors.npy", factors, allow_pickle=False)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """See :meth:`Recommender.load`."""
        factors = np.load(folder / "product_factors.npy", allow_pickle=False)
        parts = cls.load_parts(folder)
        return cls(**parts, factorisation=Factorisation(factors, parts["options"]))


def _solver(options: FactorOptions, seed: int) -> Any:
    """Rows are solved apart from each other, so the number of threads changes nothing."""
    return AlternatingLeastSquares(
        factors=options.factors,
        regularization=options.regularization,
        alpha=1.0,
        iterations=options.iterations,
        random_state=seed,
        use_gpu=False,
    )


def _confidence(matrix: sparse.csr_matrix, alpha: float) -> sparse.csr_matrix:
    """``1 + alpha * weight`` where there was an event; elsewhere 1 is understood."""
    confidence = matrix.copy()
    confidence.data = 1 + np.float32(alpha) * matrix.data
    return confidence
