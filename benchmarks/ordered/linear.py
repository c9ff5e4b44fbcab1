"""A linear model of what comes next, in closed form: sets, order and attributes in one ridge.

Shapes: P items, U users, S prefixes (samples), A attributes.

- H. Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", WWW 2019: a user's items
  predict each other, with a zero diagonal (EASE).
- M. Choi et al., "Session-aware Linear Item-Item Models for Session-based Recommendation",
  WWW 2021: a fading prefix predicts the next item, beside the set (SLIST).
- Attributes are further rows: each is a user who took all items that have it, as item features
  enter linear hybrids (for instance Ning and Karypis, "Sparse Linear Methods with Side
  Information for Top-N Recommendations", RecSys 2012).
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse

from ordered.data import Histories

Floats: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True)
class LinearOptions:
    """How the linear model learns.

    Attributes:
        l2: added to the diagonal.
        attribute_weight: of a row of attributes against a user's.
        decay: an event of a prefix weighs this much less than the one after it.
        longest: newest events of a prefix that are read.
        most_items: refuse more: P items need about 20 * P**2 bytes and P**3 work.
    """

    l2: float = 300.0
    attribute_weight: float = 100.0
    decay: float = 0.6
    longest: int = 30
    most_items: int = 20_000


def linear_weights(
    histories: Histories,
    items: int,
    attributes_PA: sparse.csr_matrix | None,
    options: LinearOptions,
) -> Floats:
    """(P, P) what an item in the history (row) says of each next item (column).

    The B that minimises, with a zero diagonal,

    ``|X B - X|^2 + |S B - T|^2 + w |C' B - C'|^2 + l2 |B|^2``

    where X (users by items) has a 1 for each item of a user, S (prefixes by items) holds
    ``decay ** age``, T (prefixes by items) the item that follows each prefix, and C (items by
    attributes) the scaled attributes (:func:`scaled`) with the weight w. With

    ``M = X'X + w C C'``, ``K = inv(M + S'S + l2 I)``, ``Q = K (M + S'T)``

    it is ``B = Q - K diag(diag(Q) / diag(K))``. Without S and C this is EASE (Steck, eq. 8).

    Raises:
        ValueError: if there are more than ``options.most_items`` items.
    """
    if items > options.most_items:
        msg = f"{items:,} items are more than the {options.most_items:,} of a dense inverse"
        raise ValueError(msg)
    taken_UP = histories.weights(items, 1.0)
    taken_UP.data[:] = 1
    prefixes, target_S = histories.prefixes(options.longest)
    prefix_SP = prefixes.weights(items, options.decay)
    cells = (np.ones(len(target_S), np.float32), target_S, np.arange(len(target_S) + 1))
    next_SP = sparse.csr_matrix(cells, shape=prefix_SP.shape)
    alike_PP = taken_UP.T @ taken_UP
    if attributes_PA is not None:
        scaled_PA = scaled(attributes_PA)
        alike_PP = alike_PP + options.attribute_weight * (scaled_PA @ scaled_PA.T)
    gram_PP = dense(alike_PP + prefix_SP.T @ prefix_SP)
    gram_PP.diagonal().add_(options.l2)
    inverse_PP = torch.cholesky_inverse(torch.linalg.cholesky(gram_PP))
    del gram_PP
    weights_PP = inverse_PP @ dense(alike_PP + prefix_SP.T @ next_SP)
    inverse_PP *= weights_PP.diagonal() / inverse_PP.diagonal()
    weights_PP -= inverse_PP
    return weights_PP.contiguous().numpy()  # rows are what a history takes


def scaled(attributes_PA: sparse.csr_matrix) -> sparse.csr_matrix:
    """(P, A) attributes over the root of how many items have them: common ones say little."""
    count_A = np.asarray(attributes_PA.sum(axis=0)).ravel()
    return (attributes_PA @ sparse.diags_array(1 / np.sqrt(np.maximum(count_A, 1)))).tocsr()


def dense(matrix_PP: sparse.spmatrix) -> torch.Tensor:
    return torch.from_numpy(matrix_PP.toarray().astype(np.float32, copy=False))
