"""Negatives: products that a user did not take, drawn without a loop over rows.

B queries, N negatives per query, P products. A negative stands beside its positive in the
same query, so it has the context of its positive.
"""

from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from recsys_kedro.options import Options

NO_PRODUCT = -1
REDRAWS = 8


class NegativeKind(StrEnum):
    """How negatives are drawn."""

    UNIFORM = "uniform"
    POPULARITY = "popularity"


class NegativeOptions(Options):
    """Which products stand against those that were taken."""

    kind: NegativeKind = NegativeKind.POPULARITY
    popularity_exponent: float = Field(
        0.75, ge=0, le=1, description="0 is uniform, 1 is as popular as observed"
    )


def draw_probabilities(
    popularity: NDArray[np.floating], options: NegativeOptions
) -> NDArray[np.float64]:
    """(P,) the probability with which one draw gives each product.

    ``(popularity + 1) ** exponent``, normalised: a product without events can be drawn too.
    """
    exponent = 0.0 if options.kind is NegativeKind.UNIFORM else options.popularity_exponent
    weight = (popularity.astype(np.float64) + 1.0) ** exponent
    return np.asarray(weight / weight.sum())


def draw_negatives(
    taken: tuple[NDArray[np.integer], NDArray[np.integer]],
    size: tuple[int, int],
    probabilities: NDArray[np.float64],
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """(B, N) products that the query's user has not taken, drawn with replacement.

    Args:
        taken: (rows, products), the pairs that must not be drawn.
        size: B and N.
        probabilities: (P,) see :func:`draw_probabilities`.
        rng: the source of randomness.

    Returns:
        Product indices; ``NO_PRODUCT`` (-1) in the rows of users who took everything that can
        be drawn.
    """
    products = len(probabilities)
    forbidden = np.unique(taken[0] * products + taken[1])
    cumulative = np.cumsum(probabilities)
    row = np.repeat(np.arange(size[0], dtype=np.int64), size[1])
    drawn = np.full(len(row), NO_PRODUCT, np.int64)
    open_ = np.arange(len(row))
    for _ in range(REDRAWS):
        fresh = np.searchsorted(cumulative, rng.random(len(open_)) * cumulative[-1], "right")
        drawn[open_] = np.minimum(fresh, products - 1)
        open_ = open_[_contains(forbidden, row[open_] * products + drawn[open_])]
    drawn[open_] = NO_PRODUCT
    _draw_from_the_rest(drawn, row, open_, forbidden, probabilities, rng)
    return drawn.reshape(size)


def _contains(sorted_values: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.bool_]:
    if len(sorted_values) == 0:
        return np.zeros(len(wanted), bool)
    position = np.minimum(np.searchsorted(sorted_values, wanted), len(sorted_values) - 1)
    return np.asarray(sorted_values[position] == wanted)


def _draw_from_the_rest(
    drawn: NDArray[np.int64],
    row: NDArray[np.int64],
    open_: NDArray[np.int64],
    forbidden: NDArray[np.int64],
    probabilities: NDArray[np.float64],
    rng: np.random.Generator,
) -> None:
    """Exact draws for the few users who took nearly everything."""
    products = len(probabilities)
    for query in np.unique(row[open_]):
        mine = open_[row[open_] == query]
        weight = probabilities.copy()
        first, last = np.searchsorted(forbidden, [query * products, (query + 1) * products])
        weight[forbidden[first:last] - query * products] = 0
        if weight.sum() > 0:
            drawn[mine] = rng.choice(products, len(mine), p=weight / weight.sum())


def log_expected_count(probabilities: NDArray[np.float64], draws: int) -> NDArray[np.float32]:
    """(P,) ``log(draws * probability)``: what a sampled softmax subtracts from each logit.

    Bengio and Senécal (2008), "Adaptive importance sampling to accelerate training of a
    neural probabilistic language model"; the same correction serves negatives taken from the
    batch, whose probability is their share of the positives.
    """
    return np.log(np.maximum(draws * probabilities, 1e-12)).astype(np.float32)
