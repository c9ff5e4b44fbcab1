"""A linear model of what is taken next, in closed form: sets, order and content in one ridge.

U users, P products, H inputs, S steps, A attributes. A *step* is a time at which a user took
something, with what the user took before it. The *inputs* are the products that predict: all, or
of many the most taken. Every product is predicted.

- H. Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", WWW 2019: a user's products
  predict each other, with a zero diagonal (EASE).
- M. Choi et al., "Session-aware Linear Item-Item Models for Session-based Recommendation",
  WWW 2021: a fading prefix predicts what follows it, beside the set (SLIST).
- Attributes are further rows: each is a user who took all products that have it, as in
  O. Jeunen, J. Van Balen and B. Goethals, "Closed-Form Models for Collaborative Filtering with
  Side-Information", RecSys 2020.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from pydantic import Field
from scipy import sparse

from recsys_kedro import columns as c
from recsys_kedro.features.encoding import WORD
from recsys_kedro.models.base import TrainingData
from recsys_kedro.models.baseline import HistoryModel, HistoryOptions
from recsys_kedro.models.ease import inverse_of
from recsys_kedro.models.interactions import (
    Decay,
    interaction_matrix,
    most_taken,
    ordered_steps,
    step_history_matrix,
)
from recsys_kedro.models.item_knn import PRODUCTS_AT_ONCE
from recsys_kedro.options import Options
from recsys_kedro.queries import Queries
from recsys_kedro.ranges import ranges
from recsys_kedro.vocabulary import Vocabulary

ATTRIBUTE = "attribute"
LEAST_WEIGHT = 0.01  # a prefix is read back to where a step weighs less
CELLS_AT_ONCE = 2**24  # of prefixes, while their products with each other are summed


class LinearWeightOptions(Options):
    """How the weights are learned."""

    l2: float = Field(300, gt=0, description="ridge penalty")
    content_weight: float = Field(
        30, ge=0, description="of an attribute that products share, against a user; 0: none"
    )
    prefix_decay: float = Field(
        0.8, gt=0, lt=1, description="a step of a prefix weighs this much less than the one after"
    )
    learning_half_life_days: float | None = Field(
        60, gt=0, description="of the events learned from, days; empty: all weigh the same"
    )
    kept: int = Field(200, ge=1, description="strongest weights kept per recommended product")
    max_products: int = Field(
        15_000,
        ge=1,
        description="of more, only the most taken predict: so many that the work is not more",
    )

    def inputs(self, products: int) -> int:
        """How many of ``products`` predict: work grows with the square of them, times all."""
        most = int((self.max_products**3 / max(products, 1)) ** 0.5)
        return min(products, max(most, 1))


class LinearOptions(HistoryOptions):
    """The weights, and how they are asked, beside the options of the history."""

    weights: LinearWeightOptions = LinearWeightOptions()
    query_decay: float = Field(
        0.8, gt=0, le=1, description="a step of the history weighs this much less than the next"
    )


@dataclass(eq=False)
class Linear(HistoryModel):
    """Scores a product by the weights of the products in the history, newer ones counting more.

    Attributes:
        weights: (P, P) see :func:`linear_weights`.
    """

    name = "linear"
    options_type = LinearOptions

    weights: sparse.csr_matrix

    @classmethod
    def fit(cls, data: TrainingData, options: LinearOptions, seed: int) -> Self:
        """See :meth:`Recommender.fit`; nothing is random."""
        parts = cls.shared_parts(data, options)
        weights = linear_weights(
            data.targets(), data.products, parts["vocabulary"], data.cut, options.weights
        )
        return cls(**parts, weights=weights)

    def _recent(self, queries: Queries) -> sparse.csr_matrix:
        weights = self.options.event_weights.by_type(self.target_event_types)
        return step_history_matrix(queries, self.vocabulary, weights, self.options.query_decay)

    def from_history(self, history: sparse.csr_matrix) -> NDArray[np.float32]:
        """See :meth:`HistoryModel.from_history`."""
        scores: NDArray[np.float32] = (history @ self.weights).toarray()
        return scores

    def save(self, folder: Path) -> None:
        """See :meth:`Recommender.save`."""
        super().save(folder)
        sparse.save_npz(folder / "weights.npz", self.weights)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """See :meth:`Recommender.load`."""
        return cls(**cls.load_parts(folder), weights=sparse.load_npz(folder / "weights.npz"))


def linear_weights(
    taken: pl.DataFrame,
    products: pl.DataFrame,
    vocabulary: Vocabulary,
    as_of: datetime,
    options: LinearWeightOptions,
) -> sparse.csr_matrix:
    """(P, P) what a product in the history (row) says for each product taken next (column).

    The strongest positive cells of the B (H, P) that minimises, with a zero diagonal,

    ``|X B - Y|^2 + |S B - T|^2 + w |A' B - C'|^2 + l2 |B|^2``

    where Y (U, P) holds what a user took, T (S, P) what was taken at each step and C (P, A) the
    attributes of the products, see :func:`content_matrix`; X (U, H) and A (H, A) are their parts
    of the inputs, and S (S, H) holds the fading prefix of each step. A cell of Y fades with its
    age, a row of S and T counts as much as its age says. With
    ``K = inv(X'X + w A A' + S'S + l2 I)`` and ``Q = K (X'Y + w A C' + S'T)`` it is
    ``B = Q - K diag(diag(Q) / diag(K))`` for the products that are inputs, and Q for the others;
    without S and A it is EASE. Rows of other products are 0.

    Args:
        taken: target events before ``as_of``.
        products: the products' table; what is created later or unknown is left out.
        vocabulary: the P products.
        as_of: UTC.
        options: penalties, decays, how many inputs there are and how many cells are kept.
    """
    half_life = options.learning_half_life_days
    decay = None if half_life is None else Decay(as_of, half_life)
    users = Vocabulary.fit(taken[c.USER_ID])
    weights = dict.fromkeys(taken[c.EVENT_TYPE].unique().to_list(), 1.0)
    taken_UP = interaction_matrix(taken, users, vocabulary, weights, decay)
    input_H = most_taken(taken_UP, options.inputs(len(vocabulary)))
    content_PA = content_matrix(products, vocabulary, as_of)
    content_PA = content_PA * np.float32(options.content_weight**0.5)
    target_HP = _alike(taken_UP, content_PA, input_H)
    gram_HH = target_HP[:, input_H]
    for steps in steps_of(taken, vocabulary, options.prefix_decay, decay):
        _add(steps.prefixes_together(input_H), gram_HH)
        _add(steps.prefix_and_next(input_H), target_HP)
    gram_HH.diagonal().add_(options.l2)
    return _strongest(inverse_of(gram_HH), target_HP, input_H, options.kept)


def _alike(
    taken_UP: sparse.csr_matrix, content_PA: sparse.csr_matrix, input_H: NDArray[np.int64]
) -> torch.Tensor:
    """(H, P) X'Y + A C'."""
    both_RP = sparse.vstack([taken_UP, content_PA.T], format="csr")
    both_HR = both_RP[:, input_H].T.tocsr()
    alike_HP = torch.zeros(len(input_H), both_RP.shape[1])
    for start in range(0, len(input_H), PRODUCTS_AT_ONCE):  # the sparse product of all is large
        rows = slice(start, start + PRODUCTS_AT_ONCE)
        _add(both_HR[rows] @ both_RP, alike_HP[rows])
    return alike_HP


def _add(cells: sparse.csr_matrix, dense: torch.Tensor) -> None:
    """Add them in place, some rows at a time: a dense copy of all would be large."""
    for start in range(0, len(dense), PRODUCTS_AT_ONCE):
        rows = slice(start, start + PRODUCTS_AT_ONCE)
        dense[rows] += torch.from_numpy(cells[rows].toarray())


def _strongest(
    inverse_HH: torch.Tensor, target_HP: torch.Tensor, input_H: NDArray[np.int64], kept: int
) -> sparse.csr_matrix:
    """(P, P) the largest positive weights of each column; see :func:`linear_weights`."""
    inputs, products = target_HP.shape
    kept = min(kept, inputs)
    blocks = []
    for start in range(0, products, PRODUCTS_AT_ONCE):
        weight_HC = inverse_HH @ target_HP[:, start : start + PRODUCTS_AT_ONCE]
        first, last = np.searchsorted(input_H, [start, start + PRODUCTS_AT_ONCE])
        own, column = torch.arange(first, last), torch.from_numpy(input_H[first:last] - start)
        share = weight_HC[own, column] / inverse_HH[own, own]
        weight_HC[:, column] -= inverse_HH[:, first:last] * share
        weight_HC[own, column] = 0
        value_CK, row_CK = weight_HC.T.topk(kept, sorted=False)
        start_C = np.arange(len(value_CK) + 1) * kept
        parts = (value_CK.clamp(min=0).flatten().numpy(), input_H[row_CK.flatten().numpy()])
        blocks.append(sparse.csr_matrix((*parts, start_C), (len(value_CK), products)))
    by_column = sparse.vstack(blocks, format="csr", dtype=np.float32)
    by_column.eliminate_zeros()
    by_row = by_column.T.tocsr()
    by_row.sort_indices()
    return by_row


def content_matrix(
    products: pl.DataFrame, vocabulary: Vocabulary, as_of: datetime
) -> sparse.csr_matrix:
    """(P, A) which product has which attribute, over the root of how many have it.

    Attributes are category, subcategory, brand and the words of the name; those of a single
    product say nothing and are left out, as is what was created at or after ``as_of`` (UTC).
    """
    created = pl.col(c.CREATED_AT)
    there = products.filter(created.is_null() | (created < as_of))
    known = there.filter(vocabulary.encode(there[c.PRODUCT_ID]) >= 0)
    labels = [
        known.select(c.PRODUCT_ID, pl.format(f"{column} {{}}", column).alias(ATTRIBUTE))
        for column in (c.CATEGORY, c.SUBCATEGORY, c.BRAND)
    ]
    words = pl.col(c.NAME).str.to_lowercase().str.extract_all(WORD).alias(ATTRIBUTE)
    pairs = pl.concat([*labels, known.select(c.PRODUCT_ID, words).explode(ATTRIBUTE)])
    pairs = pairs.drop_nulls(ATTRIBUTE).unique().filter(pl.len().over(ATTRIBUTE) > 1)
    attributes = Vocabulary.fit(pairs[ATTRIBUTE])
    product, attribute = vocabulary.encode(pairs[c.PRODUCT_ID]), attributes.encode(pairs[ATTRIBUTE])
    count_A = np.bincount(attribute, minlength=len(attributes))
    values = (1 / np.sqrt(count_A[attribute])).astype(np.float32)
    return sparse.csr_matrix(
        (values, (product, attribute)), shape=(len(vocabulary), len(attributes))
    )


class Steps(NamedTuple):
    """S steps of users, the first of each among them.

    Attributes:
        prefix_SP: ``decay ** (steps between)`` for what was taken before each step.
        taken_SP: 1 for what was taken at it.
        weight_S: of the step as one that follows a prefix.
        onward_S: the sum over the user's later steps of ``weight * decay ** (2 * steps between)``:
            the square of what this step is in their prefixes.
        decay: see :func:`steps_of`.
    """

    prefix_SP: sparse.csr_matrix
    taken_SP: sparse.csr_matrix
    weight_S: NDArray[np.float32]
    onward_S: NDArray[np.float32]
    decay: float

    def prefix_and_next(self, input_H: NDArray[np.int64]) -> sparse.csr_matrix:
        """(H, P) S'T: what was in a prefix (row) with what followed (column)."""
        prefix_HS = self.prefix_SP[:, input_H].T.tocsr()
        joint: sparse.csr_matrix = prefix_HS @ _scaled(self.taken_SP, self.weight_S)
        return joint

    def prefixes_together(self, input_H: NDArray[np.int64]) -> sparse.csr_matrix:
        """(H, H) S'S: what was in prefixes together.

        Any two steps j < k of a user are together in every prefix after k, so the sum over those
        prefixes is a factor of the pair: what k has onward, times ``decay ** (k - j)``. Hence
        ``T' onward T + decay (S' onward T + T' onward S)``, with the steps' products and their
        prefixes multiplied once, where S'S multiplies every prefix by itself.
        """
        taken_SH = self.taken_SP[:, input_H]
        onward_SH = _scaled(taken_SH, self.onward_S)
        before = np.float32(self.decay) * (self.prefix_SP[:, input_H].T.tocsr() @ onward_SH)
        joint: sparse.csr_matrix = before + before.T + taken_SH.T.tocsr() @ onward_SH
        return joint


def _scaled(matrix: sparse.csr_matrix, factor_S: NDArray[np.float32]) -> sparse.csr_matrix:
    return sparse.diags_array(factor_S, format="csr") @ matrix


def steps_of(
    taken: pl.DataFrame, vocabulary: Vocabulary, prefix_decay: float, decay: Decay | None
) -> Iterator[Steps]:
    """Every step of every user, some at a time.

    Args:
        taken: target events; the same product at one time counts once.
        vocabulary: P products; others are left out.
        prefix_decay: what a step of a prefix weighs against the step after it.
        decay: what a step weighs, by its age.
    """
    product_E, step_E, start_S, user_S, time_S = ordered_steps(taken, vocabulary)
    if len(product_E) == 0:
        return
    weight_S = np.ones(len(user_S), np.float32)
    if decay is not None:
        weight = time_S.to_frame(c.TIMESTAMP).select(decay.factor()).to_series()
        weight_S = weight.to_numpy().astype(np.float32)
    longest = int(np.log(LEAST_WEIGHT) / np.log(prefix_decay)) + 1
    onward_S = _onward(weight_S, user_S, prefix_decay, longest)
    step_S = np.arange(len(user_S))
    from_S = start_S[np.maximum(step_S - longest, np.searchsorted(user_S, user_S))]
    cells_S = np.cumsum(start_S[:-1] - from_S)
    borders = np.searchsorted(cells_S, np.arange(CELLS_AT_ONCE, cells_S[-1], CELLS_AT_ONCE))
    for some_S in np.split(step_S, borders):
        shape = (len(some_S), len(vocabulary))
        row, flat = ranges(from_S[some_S], start_S[some_S])
        fading = np.float32(prefix_decay) ** (some_S[row] - 1 - step_E[flat])
        prefix_SP = sparse.csr_matrix((fading, (row, product_E[flat])), shape)
        row, flat = ranges(start_S[some_S], start_S[some_S + 1])
        taken_SP = sparse.csr_matrix((np.ones_like(row, np.float32), (row, product_E[flat])), shape)
        yield Steps(prefix_SP, taken_SP, weight_S[some_S], onward_S[some_S], prefix_decay)


def _onward(
    weight_S: NDArray[np.float32], user_S: NDArray[np.integer], decay: float, longest: int
) -> NDArray[np.float32]:
    """See :class:`Steps`; steps further away than ``longest`` are left out, as in the prefixes."""
    onward_S = np.zeros_like(weight_S)
    for ahead in range(1, min(longest, len(user_S) - 1) + 1):
        same = user_S[:-ahead] == user_S[ahead:]
        if not same.any():
            break
        onward_S[:-ahead] += same * weight_S[ahead:] * np.float32(decay ** (2 * (ahead - 1)))
    return onward_S
