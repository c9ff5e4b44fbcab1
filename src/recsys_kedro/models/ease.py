"""EASE: a linear autoencoder over products in closed form.

H. Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", WWW 2019.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from scipy import sparse

from recsys_kedro.models.base import TrainingData
from recsys_kedro.models.baseline import HistoryModel, HistoryOptions, learning_matrix


class EASEOptions(HistoryOptions):
    """Regularisation and size, beside those of the history."""

    l2: float = Field(200, ge=1, description="added to the diagonal of the Gram matrix")
    max_products: int = Field(
        20_000, ge=1, description="refuse more: P products need 16 * P**2 bytes and P**3 work"
    )


@dataclass(eq=False)
class EASE(HistoryModel):
    """Scores products by ``history @ weights``.

    Attributes:
        weights: (P, P) see :func:`ease_weights`.
    """

    name = "ease"
    options_type = EASEOptions

    weights: NDArray[np.float32]

    @classmethod
    def fit(cls, data: TrainingData, options: EASEOptions, seed: int) -> Self:
        """See :meth:`Recommender.fit`; nothing is random.

        Raises:
            ValueError: if there are more than ``options.max_products`` products.
        """
        parts = cls.shared_parts(data, options)
        count = len(parts["vocabulary"])
        if count > options.max_products:
            msg = (
                f"ease: {count:,} products are more than max_products ({options.max_products:,}); "
                f"their weights alone are {4 * count**2 / 2**30:.1f} GiB. Raise max_products in "
                "models.ease, or leave ease out of the models that are run."
            )
            raise ValueError(msg)
        matrix = learning_matrix(data, parts["vocabulary"], options)
        return cls(**parts, weights=ease_weights(matrix, options.l2))

    def from_history(self, history: sparse.csr_matrix) -> NDArray[np.float32]:
        """See :meth:`HistoryModel.from_history`."""
        scores: NDArray[np.float32] = history @ self.weights
        return scores

    def save(self, folder: Path) -> None:
        """See :meth:`Recommender.save`."""
        super().save(folder)
        np.save(folder / "weights.npy", self.weights, allow_pickle=False)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """See :meth:`Recommender.load`."""
        weights = np.load(folder / "weights.npy", allow_pickle=False)
        return cls(**cls.load_parts(folder), weights=weights)


def ease_weights(matrix: sparse.csr_matrix, l2: float) -> NDArray[np.float32]:
    """(P, P) ``B = -K / diag(K)`` with ``K = inv(X'X + l2 I)`` and a zero diagonal.

    Row: the product in the history; column: the product that is scored. Steck 2019, eq. 8.

    Args:
        matrix: (U, P) the interactions X.
        l2: regularisation.
    """
    gram = torch.from_numpy((matrix.T @ matrix).toarray().astype(np.float32, copy=False))
    gram.diagonal().add_(l2)
    inverse = inverse_of(gram)
    weights = inverse.div_(-inverse.diagonal().clone())
    weights.fill_diagonal_(0)
    return weights.contiguous().numpy()  # LAPACK leaves columns first: slow to take rows of


def inverse_of(gram_PP: torch.Tensor) -> torch.Tensor:
    """(P, P) the inverse of a positive definite matrix, which is overwritten."""
    factor_PP = torch.linalg.cholesky(gram_PP)
    # Many right-hand sides keep all cores busy, where LAPACK's own inverse waits for one.
    return torch.cholesky_solve(torch.eye(len(gram_PP), out=gram_PP), factor_PP)
