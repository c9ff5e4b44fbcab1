"""Products taken by the same users: item-based nearest neighbours."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import sparse

from recsys_kedro.models.base import TrainingData, best_columns
from recsys_kedro.models.baseline import HistoryModel, HistoryOptions, learning_matrix
from recsys_kedro.options import Options

_CELLS = 2**22  # similarities held at once, before the cut to the nearest


class CosineOptions(Options):
    """How alike two products are, and how many neighbours stay."""

    neighbours: int | None = Field(
        100, ge=1, description="nearest products kept per recommended product; empty: all"
    )
    shrinkage: float = Field(
        0, ge=0, description="added to the denominator: pulls rarely taken products towards 0"
    )


class ItemKNNOptions(HistoryOptions, CosineOptions):
    """The options of history and similarity together."""


@dataclass(eq=False)
class ItemKNN(HistoryModel):
    """Scores a product by its cosine with each product of the history, weighted by recency.

    Attributes:
        neighbours: (P, P) the similarity of a product in the history (row) to a recommended
            product (column); see :func:`cosine_neighbours`.
    """

    name = "item_knn"
    options_type = ItemKNNOptions

    neighbours: sparse.csr_matrix

    @classmethod
    def fit(cls, data: TrainingData, options: ItemKNNOptions, seed: int) -> Self:
        """See :meth:`Recommender.fit`; nothing is random."""
        parts = cls.shared_parts(data, options)
        matrix = learning_matrix(data, parts["vocabulary"], options)
        return cls(**parts, neighbours=cosine_neighbours(matrix, options))

    def from_history(self, history: sparse.csr_matrix) -> NDArray[np.float32]:
        """See :meth:`HistoryModel.from_history`."""
        scores: NDArray[np.float32] = (history @ self.neighbours).toarray()
        return scores

    def save(self, folder: Path) -> None:
        """See :meth:`Recommender.save`."""
        super().save(folder)
        sparse.save_npz(folder / "neighbours.npz", self.neighbours)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """See :meth:`Recommender.load`."""
        neighbours = sparse.load_npz(folder / "neighbours.npz")
        return cls(**cls.load_parts(folder), neighbours=neighbours)


def cosine_neighbours(matrix: sparse.csr_matrix, options: CosineOptions) -> sparse.csr_matrix:
    """(P, P) ``x_i . x_j / (|x_i| |x_j| + shrinkage)`` of the columns of ``matrix`` (U, P).

    A product is not its own neighbour. Column j holds the neighbours of product j, so every
    product is scored from as many; keeping the nearest per row instead would let a popular
    product collect far more. Of equal similarities the smaller index stays.
    """
    products = matrix.shape[1]
    norm = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=0), np.float32)).ravel()
    by_product = matrix.T.tocsr()
    count = min(options.neighbours or products, products)
    size = max(1, _CELLS // products)
    blocks = []
    for start in range(0, products, size):
        cosine = (by_product[start : start + size] @ matrix).toarray()
        rows = np.arange(len(cosine))
        cosine[rows, start + rows] = 0
        scale = np.outer(norm[start : start + size], norm) + np.float32(options.shrinkage)
        np.divide(cosine, scale, out=cosine, where=scale > 0)
        blocks.append(_nearest(cosine, count))
    return sparse.vstack(blocks, format="csr", dtype=np.float32).T.tocsr()


def _nearest(similarity: NDArray[np.float32], count: int) -> sparse.csr_matrix:
    """Keep the ``count`` largest values of each row, the zeros among them left out."""
    column = best_columns(similarity, count)
    value = np.take_along_axis(similarity, column, axis=1)
    row = np.repeat(np.arange(len(similarity)), count)
    nearest = sparse.csr_matrix((value.ravel(), (row, column.ravel())), similarity.shape)
    nearest.eliminate_zeros()
    return nearest
