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
from recsys_kedro.models.interactions import most_taken


class EASEOptions(HistoryOptions):
    """Regularisation and size, beside those of the history."""

    l2: float = Field(200, ge=1, description="added to the diagonal of the Gram matrix")
    max_products: int = Field(
        20_000, ge=1, description="of more, only the most taken are read and scored"
    )


@dataclass(eq=False)
class EASE(HistoryModel):
    """Scores products by ``history @ weights``.

    Attributes:
        weights: (H, H) see :func:`ease_weights`.
        input_H: the products that are read and scored, ascending: all, or of many the most taken.
    """

    name = "ease"
    options_type = EASEOptions

    weights: NDArray[np.float32]
    input_H: NDArray[np.int64]

    @classmethod
    def fit(cls, data: TrainingData, options: EASEOptions, seed: int) -> Self:
        """See :meth:`Recommender.fit`; nothing is random."""
        parts = cls.shared_parts(data, options)
        taken_UP = learning_matrix(data, parts["vocabulary"], options)
        input_H = most_taken(taken_UP, options.max_products)
        weights = ease_weights(taken_UP[:, input_H], options.l2)
        return cls(**parts, weights=weights, input_H=input_H)

    def from_history(self, history: sparse.csr_matrix) -> NDArray[np.float32]:
        """See :meth:`HistoryModel.from_history`."""
        scores = np.zeros(history.shape, np.float32)
        scores[:, self.input_H] = history[:, self.input_H] @ self.weights
        return scores

    def save(self, folder: Path) -> None:
        """See :meth:`Recommender.save`."""
        super().save(folder)
        np.save(folder / "weights.npy", self.weights, allow_pickle=False)
        np.save(folder / "inputs.npy", self.input_H, allow_pickle=False)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """See :meth:`Recommender.load`."""
        weights, input_H = (
            np.load(folder / name, allow_pickle=False) for name in ("weights.npy", "inputs.npy")
        )
        return cls(**cls.load_parts(folder), weights=weights, input_H=input_H)


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
    torch.linalg.cholesky(gram_PP, out=gram_PP)
    return torch.cholesky_inverse(gram_PP, out=gram_PP)
