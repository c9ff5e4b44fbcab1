"""Who took what, as sparse matrices: the raw material of the models that learn from it.

U users, P products, Q queries; rows and columns are vocabulary indices.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field
from scipy import sparse

from recsys_kedro import columns as c
from recsys_kedro.options import Options
from recsys_kedro.queries import Queries, by_event_type
from recsys_kedro.vocabulary import Vocabulary

_WEIGHT = "weight"


class EventWeights(Options):
    """How much an event says of a user's taste, where a target event says 1."""

    product_view: float = Field(0.1, ge=0, le=1, description="1: as much as a target event")
    click: float = Field(0.2, ge=0, le=1, description="1: as much as a target event")
    add_to_cart: float = Field(0.5, ge=0, le=1, description="1: as much as a target event")
    purchase: float = Field(1.0, ge=0, le=1, description="1: as much as a target event")

    def by_type(self, target_event_types: Iterable[str]) -> dict[str, float]:
        """The weight of each event type; a target weighs 1, a ``return`` nothing."""
        return {**self.model_dump(), **dict.fromkeys(target_event_types, 1.0)}


@dataclass(frozen=True)
class Decay:
    """An event that is ``half_life_days`` older than ``as_of`` (UTC) counts half."""

    as_of: datetime
    half_life_days: float

    def factor(self) -> pl.Expr:
        """``0.5 ** (age / half_life_days)`` of each event."""
        age = pl.lit(self.as_of, pl.Datetime("us", "UTC")) - pl.col(c.TIMESTAMP)
        age_days = age.dt.total_microseconds() / 86_400e6
        return pl.lit(0.5).pow(age_days / self.half_life_days)


def interaction_matrix(
    events: pl.DataFrame,
    users: Vocabulary,
    products: Vocabulary,
    event_weights: Mapping[str, float],
    decay: Decay | None = None,
) -> sparse.csr_matrix:
    """(U, P) the weight of the strongest event between user and product.

    Binary with one event type and no decay. Events of unknown users, products or types
    are left out.

    Args:
        events: the event table, before ``as_of``.
        users: the rows.
        products: the columns.
        event_weights: by event type; a type that is not named weighs nothing.
        decay: None: old events weigh as much as new ones.
    """
    weight = _weight(event_weights)
    if decay is not None:
        weight = weight * decay.factor()
    pairs = (
        events.lazy()
        .select(c.USER_ID, c.PRODUCT_ID, weight.alias(_WEIGHT))
        .filter(pl.col(_WEIGHT) > 0)
        .group_by(c.USER_ID, c.PRODUCT_ID)
        .agg(pl.col(_WEIGHT).max())
        .collect()
    )
    row, column = users.encode(pairs[c.USER_ID]), products.encode(pairs[c.PRODUCT_ID])
    return _csr(pairs[_WEIGHT].to_numpy(), row, column, (len(users), len(products)))


def most_taken(taken: sparse.csr_matrix, count: int) -> NDArray[np.int64]:
    """The ``count`` columns with the largest sums, ascending; of equal ones the first.

    Args:
        taken: (U, P) see :func:`interaction_matrix`.
        count: all P where it is more.
    """
    total = np.asarray(taken.sum(axis=0)).ravel()
    return np.sort(np.argsort(-total, kind="stable")[:count])


def history_matrix(
    queries: Queries,
    vocabulary: Vocabulary,
    event_weights: Mapping[str, float],
    *half_lives_days: float | None,
) -> sparse.csr_matrix:
    """(H Q, P) the sum of ``weight * 0.5 ** (age / half_life)`` over the past events.

    The Q rows of the first half-life, then those of the next; all have the same cells.

    Args:
        queries: Q queries; ages are counted back from each query's ``as_of``.
        vocabulary: P products; others are left out.
        event_weights: by event type; a type that is not named weighs nothing.
        half_lives_days: H ages at which an event weighs half; None: all weigh the same.
    """
    used_E, weight_E = _used(queries, vocabulary, event_weights)
    age_E = queries.age_days[used_E]
    values = [
        weight_E if half_life is None else weight_E * _faded(age_E, half_life)
        for half_life in half_lives_days
    ]
    return _stacked(queries, vocabulary, used_E, values)


def step_history_matrix(
    queries: Queries,
    vocabulary: Vocabulary,
    event_weights: Mapping[str, float],
    *decays: float,
) -> sparse.csr_matrix:
    """(D Q, P) the sum of ``weight * decay ** step`` over the past events.

    A step is a time of the user's used events, counted back: 0 is the newest, whatever its age.
    Rows and arguments as in :func:`history_matrix`.
    """
    used_E, weight_E = _used(queries, vocabulary, event_weights)
    step_E = steps_back(queries.rows[used_E], queries.age_days[used_E])
    values = [weight_E * np.float32(decay) ** step_E for decay in decays]
    return _stacked(queries, vocabulary, used_E, values)


class StepsBack(NamedTuple):
    """E past events of some queries, oldest first, with how many steps each lies back."""

    row_E: NDArray[np.int64]
    product_E: NDArray[np.int64]
    step_E: NDArray[np.int64]


def newest_steps(
    queries: Queries, vocabulary: Vocabulary, event_weights: Mapping[str, float], longest: int
) -> StepsBack:
    """The newest ``longest`` used events of each query; steps as in :func:`step_history_matrix`."""
    used_E, _ = _used(queries, vocabulary, event_weights)
    row_E = queries.rows[used_E]
    step_E = steps_back(row_E, queries.age_days[used_E])
    newest_E = np.searchsorted(row_E, row_E, "right") - np.arange(len(row_E)) <= longest
    product_E = queries.products(vocabulary)[used_E]
    return StepsBack(row_E[newest_E], product_E[newest_E], step_E[newest_E])


def steps_back(row_E: NDArray[np.int64], age_E: NDArray[np.float32]) -> NDArray[np.int64]:
    """(E,) how many later times with an event each row has; of events by row, oldest first."""
    later_E = np.zeros(len(row_E), np.int64)
    later_E[:-1] = (row_E[1:] == row_E[:-1]) & (age_E[1:] != age_E[:-1])
    left_E = np.cumsum(later_E[::-1])[::-1]  # changes of time from here to the end of all rows
    last_of_row_E = np.searchsorted(row_E, row_E, "right") - 1
    steps: NDArray[np.int64] = left_E - left_E[last_of_row_E]
    return steps


class OrderedSteps(NamedTuple):
    """S steps of users, in the order of users and times; a step is what was taken at one time.

    Attributes:
        product_E: (E,) what was taken, each product once a step.
        step_E: (E,) at which step.
        start_S: (S + 1,) step s took ``product_E[start_S[s]:start_S[s + 1]]``.
        user_S: (S,) ascending numbers of the users.
        time_S: (S,) UTC.
    """

    product_E: NDArray[np.int64]
    step_E: NDArray[np.int64]
    start_S: NDArray[np.int64]
    user_S: NDArray[np.int64]
    time_S: pl.Series


def ordered_steps(taken: pl.DataFrame, vocabulary: Vocabulary) -> OrderedSteps:
    """The steps of the target events ``taken``; products that are not known are left out."""
    events = (
        taken.lazy()
        .select(c.USER_ID, c.TIMESTAMP, c.PRODUCT_ID)
        .unique()
        .sort(c.USER_ID, c.TIMESTAMP, c.PRODUCT_ID)
        .collect()
    )
    product_E = vocabulary.encode(events[c.PRODUCT_ID])
    events, product_E = events.filter(product_E >= 0), product_E[product_E >= 0]
    step_E = events.select(pl.struct(c.USER_ID, c.TIMESTAMP).rle_id()).to_series()
    steps = int(step_E[-1]) + 1 if len(step_E) else 0
    start_S = np.searchsorted(step_E.to_numpy(), np.arange(steps + 1)).astype(np.int64)
    first_E = pl.Series(start_S[:-1])
    user_E = events[c.USER_ID].rle_id()
    return OrderedSteps(
        product_E,
        step_E.to_numpy().astype(np.int64),
        start_S,
        user_E.gather(first_E).to_numpy().astype(np.int64),
        events[c.TIMESTAMP].gather(first_E),
    )


def _used(
    queries: Queries, vocabulary: Vocabulary, event_weights: Mapping[str, float]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The past events that weigh anything, and what each weighs."""
    weight_E = by_event_type(event_weights)[queries.event_types]
    used_E = np.flatnonzero((queries.products(vocabulary) >= 0) & (weight_E > 0))
    return used_E, weight_E[used_E]


def _stacked(
    queries: Queries,
    vocabulary: Vocabulary,
    used_E: NDArray[np.int64],
    values: Sequence[NDArray[np.floating]],
) -> sparse.csr_matrix:
    """One matrix of queries and products per array of values, one below the other."""
    size, products = len(queries), len(vocabulary)
    product_E = queries.products(vocabulary)[used_E]
    key, cell = np.unique(queries.rows[used_E] * products + product_E, return_inverse=True)
    sums = [np.bincount(cell, value_E, len(key)) for value_E in values]
    first = np.searchsorted(key, np.arange(size) * products)
    starts = [first + place * len(key) for place in range(len(sums))]
    return sparse.csr_matrix(
        (
            np.concatenate(sums).astype(np.float32),
            np.tile((key % max(products, 1)).astype(np.int32), len(sums)),
            np.concatenate([*starts, [len(sums) * len(key)]]).astype(np.int32),
        ),
        shape=(len(sums) * size, products),
    )


def _faded(age_E: NDArray[np.float32], half_life_days: float) -> NDArray[np.float32]:
    return np.asarray(np.exp2(-age_E / np.float32(half_life_days)), np.float32)


def product_counts(
    events: pl.DataFrame,
    products: Vocabulary,
    decay: Decay | None = None,
) -> NDArray[np.float32]:
    """(P,) how many events each product had, or the sum of their decayed weights.

    A later ``decay.as_of`` multiplies all sums by one factor, so the order of products stays.

    Args:
        events: the events to count, before ``decay.as_of``.
        products: the P products; others are left out.
        decay: None: every event counts 1.
    """
    counted = pl.lit(1.0) if decay is None else decay.factor()
    table = events.select(c.PRODUCT_ID, counted.alias(_WEIGHT))
    product = products.encode(table[c.PRODUCT_ID])
    known = product >= 0
    weight = table[_WEIGHT].to_numpy()[known]
    return np.bincount(product[known], weight, len(products)).astype(np.float32)


def _weight(event_weights: Mapping[str, float]) -> pl.Expr:
    return pl.col(c.EVENT_TYPE).replace_strict(
        list(event_weights), list(event_weights.values()), default=0.0, return_dtype=pl.Float32
    )


def _csr(
    values: NDArray[np.floating],
    row: NDArray[np.int64],
    column: NDArray[np.int64],
    shape: tuple[int, int],
) -> sparse.csr_matrix:
    """Sum equal cells; leave out unknown rows and columns and zeros; sort the indices."""
    used = (row >= 0) & (column >= 0) & (values > 0)
    matrix = sparse.csr_matrix(
        (values[used], (row[used], column[used])), shape=shape, dtype=np.float32
    )
    matrix.sort_indices()
    return matrix
