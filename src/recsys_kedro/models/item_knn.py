"""Products taken by the same users: item-based nearest neighbours."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import sparse

from recsys_kedro.models.base import TrainingData
from recsys_kedro.models.baseline import HistoryModel, HistoryOptions, learning_matrix
from recsys_kedro.options import Options

PRODUCTS_AT_ONCE = 2_048  # whose similarities are held at once, before the cut to the nearest


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
    blocks = []
    for start in range(0, products, PRODUCTS_AT_ONCE):
        cosine = (by_product[start : start + PRODUCTS_AT_ONCE] @ matrix).tocsr()
        cosine.sort_indices()
        row = start + np.repeat(np.arange(cosine.shape[0]), np.diff(cosine.indptr))
        scale = norm[row] * norm[cosine.indices] + np.float32(options.shrinkage)
        cosine.data /= scale
        cosine.data[cosine.indices == row] = 0
        blocks.append(_strongest(cosine, count))
    return sparse.vstack(blocks, format="csr", dtype=np.float32).T.tocsr()


def _strongest(similarity: sparse.csr_matrix, count: int) -> sparse.csr_matrix:
    """Keep the ``count`` largest values of each row, the zeros among them left out."""
    keep = similarity.data > 0
    for row in np.flatnonzero(np.diff(similarity.indptr) > count):
        cells = slice(similarity.indptr[row], similarity.indptr[row + 1])
        value = similarity.data[cells]
        last = -np.partition(-value, count - 1)[count - 1]
        level = np.flatnonzero(value == last)
        keep[cells] &= value >= last
        keep[cells][level[count - np.count_nonzero(value > last) :]] = False
    kept = np.concatenate([[0], np.cumsum(keep)])[similarity.indptr]
    return sparse.csr_matrix(
        (similarity.data[keep], similarity.indices[keep], kept), similarity.shape
    )
