"""A linear model of what is taken next, in closed form: sets, order and content in one ridge.

U users, P products, S steps, A attributes. A *step* is a time at which a user took something,
with what the user took before it.

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
from recsys_kedro.models.interactions import Decay, interaction_matrix, step_history_matrix
from recsys_kedro.models.item_knn import PRODUCTS_AT_ONCE
from recsys_kedro.options import Options
from recsys_kedro.queries import Queries
from recsys_kedro.ranges import ranges
from recsys_kedro.vocabulary import Vocabulary

ATTRIBUTE = "attribute"
_WEIGHT = "weight"
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
        15_000, ge=0, description="more are too many: P products need 36 * P**2 bytes, P**3 work"
    )


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
        """See :meth:`Recommender.fit`; nothing is random.

        Raises:
            ValueError: if there are more than ``options.weights.max_products`` products.
        """
        parts = cls.shared_parts(data, options)
        count, most = len(parts["vocabulary"]), options.weights.max_products
        if count > most:
            msg = (
                f"linear: {count:,} products are more than weights.max_products ({most:,}). Raise "
                "it in models.linear, or leave linear out of the models that are run."
            )
            raise ValueError(msg)
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

    The strongest positive cells of the B that minimises, with a zero diagonal,

    ``|X B - X|^2 + |S B - T|^2 + w |A' B - A'|^2 + l2 |B|^2``

    where X (U, P) holds what a user took, S (S, P) the fading prefix of each step and T (S, P)
    what was taken at it, and A (P, A) the attributes of the products, see :func:`content_matrix`.
    A cell of X fades with its age, a row of S and T counts as much as its age says. With
    ``M = X'X + w A A'``, ``K = inv(M + S'S + l2 I)`` and ``Q = K (M + S'T)`` it is
    ``B = Q - K diag(diag(Q) / diag(K))``; without S and A it is EASE.

    Args:
        taken: target events before ``as_of``.
        products: the products' table; what is created later or unknown is left out.
        vocabulary: the P products.
        as_of: UTC.
        options: penalties, decays and how many cells are kept.
    """
    half_life = options.learning_half_life_days
    decay = None if half_life is None else Decay(as_of, half_life)
    users = Vocabulary.fit(taken[c.USER_ID])
    weights = dict.fromkeys(taken[c.EVENT_TYPE].unique().to_list(), 1.0)
    taken_UP = interaction_matrix(taken, users, vocabulary, weights, decay)
    alike_PP = taken_UP.T @ taken_UP
    if options.content_weight > 0:
        created = pl.col(c.CREATED_AT)
        content_PA = content_matrix(
            products.filter(created.is_null() | (created < as_of)), vocabulary
        )
        alike_PP = alike_PP + np.float32(options.content_weight) * (content_PA @ content_PA.T)
    gram_PP = torch.from_numpy(alike_PP.toarray().astype(np.float32, copy=False))
    target_PP = gram_PP.clone()
    for steps in steps_of(taken, vocabulary, options.prefix_decay, decay):
        gram_PP += torch.from_numpy(steps.prefixes_together().toarray())
        target_PP += torch.from_numpy(steps.prefix_and_next().toarray())
    gram_PP.diagonal().add_(options.l2)
    inverse_PP = inverse_of(gram_PP)
    del gram_PP
    weights_PP = inverse_PP @ target_PP
    del target_PP
    inverse_PP *= weights_PP.diagonal() / inverse_PP.diagonal()
    weights_PP -= inverse_PP
    weights_PP.fill_diagonal_(0)
    return _strongest(weights_PP, options.kept)


def _strongest(weights_PP: torch.Tensor, kept: int) -> sparse.csr_matrix:
    """The largest positive weights of each column."""
    products = len(weights_PP)
    kept = min(kept, products)
    blocks = []
    for columns in torch.split(weights_PP, PRODUCTS_AT_ONCE, dim=1):
        value_CK, row_CK = columns.T.topk(kept, sorted=False)
        start_C = torch.arange(len(value_CK) + 1) * kept
        parts = (value_CK.clamp(min=0).flatten(), row_CK.flatten(), start_C)
        shape = (len(value_CK), products)
        blocks.append(sparse.csr_matrix(tuple(part.numpy() for part in parts), shape))
    by_column = sparse.vstack(blocks, format="csr", dtype=np.float32)
    by_column.eliminate_zeros()
    by_row = by_column.T.tocsr()
    by_row.sort_indices()
    return by_row


def content_matrix(products: pl.DataFrame, vocabulary: Vocabulary) -> sparse.csr_matrix:
    """(P, A) which product has which attribute, over the root of how many have it.

    Attributes are category, subcategory, brand and the words of the name; those of a single
    product say nothing and are left out.
    """
    known = products.filter(vocabulary.encode(products[c.PRODUCT_ID]) >= 0)
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

    def prefix_and_next(self) -> sparse.csr_matrix:
        """(P, P) S'T: what was in a prefix (row) with what followed (column)."""
        joint: sparse.csr_matrix = self.prefix_SP.T.tocsr() @ _scaled(self.taken_SP, self.weight_S)
        return joint

    def prefixes_together(self) -> sparse.csr_matrix:
        """(P, P) S'S: what was in prefixes together.

        Any two steps j < k of a user are together in every prefix after k, so the sum over those
        prefixes is a factor of the pair: what k has onward, times ``decay ** (k - j)``. Hence
        ``T' onward T + decay (S' onward T + T' onward S)``, with the steps' products and their
        prefixes multiplied once, where S'S multiplies every prefix by itself.
        """
        onward_SP = _scaled(self.taken_SP, self.onward_S)
        before = np.float32(self.decay) * (self.prefix_SP.T.tocsr() @ onward_SP)
        joint: sparse.csr_matrix = before + before.T + self.taken_SP.T.tocsr() @ onward_SP
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
    factor = pl.lit(1.0) if decay is None else decay.factor()
    events = (
        taken.lazy()
        .select(c.USER_ID, c.TIMESTAMP, c.PRODUCT_ID)
        .unique()
        .sort(c.USER_ID, c.TIMESTAMP, c.PRODUCT_ID)
        .with_columns(factor.alias(_WEIGHT))
        .collect()
    )
    product_E = vocabulary.encode(events[c.PRODUCT_ID])
    events, product_E = events.filter(product_E >= 0), product_E[product_E >= 0]
    if events.is_empty():
        return
    step_E = events.select(pl.struct(c.USER_ID, c.TIMESTAMP).rle_id()).to_series().to_numpy()
    start_S = np.searchsorted(step_E, np.arange(int(step_E[-1]) + 2))
    user_S = events[c.USER_ID].rle_id().to_numpy()[start_S[:-1]]
    weight_S = events[_WEIGHT].to_numpy().astype(np.float32)[start_S[:-1]]
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
