"""How well a list ranks what a user went on to take. One function per metric.

Every metric takes the same three arguments and returns one value per user in [0, 1];
a new metric is a function and a line in :data:`RANKING_METRICS`.

Symbols: U users, K places of the longest list, ``hits_UK[u, i]`` whether the product at
rank i + 1 is relevant (False where the list is shorter), ``relevant_U`` how many products
are relevant to the user, at least one.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Hits: TypeAlias = NDArray[np.bool_]
Counts: TypeAlias = NDArray[np.int64]
Values: TypeAlias = NDArray[np.float64]
RankingMetric: TypeAlias = Callable[[Hits, Counts, int], Values]


def ndcg(hits_UK: Hits, relevant_U: Counts, k: int) -> Values:
    """Normalised discounted cumulative gain: hits near the top count more.

    ``NDCG@k = sum_{i <= k} hit_i / log2(i + 1)  /  sum_{i <= min(k, R)} 1 / log2(i + 1)``
    with R relevant products. Binary gains. Järvelin and Kekäläinen (2002).

    >>> ndcg(np.array([[False, True, False]]), np.array([1]), k=3).round(4)
    array([0.6309])
    """
    discount = 1.0 / np.log2(np.arange(2, k + 2))
    ideal: Values = np.cumsum(discount)[np.minimum(relevant_U, k) - 1]
    top = hits_UK[:, :k]
    gain: Values = top @ discount[: top.shape[1]]
    return gain / ideal


def precision(hits_UK: Hits, relevant_U: Counts, k: int) -> Values:
    """Share of the k places that hold a relevant product; an empty place is a miss.

    ``P@k = sum_{i <= k} hit_i / k``. Manning, Raghavan and Schütze (2008), 8.4.

    >>> precision(np.array([[True, False, True, False]]), np.array([2]), k=4)
    array([0.5])
    """
    return _hits_within(hits_UK, k) / k


def recall(hits_UK: Hits, relevant_U: Counts, k: int) -> Values:
    """Share of the relevant products that the first k places hold.

    ``R@k = sum_{i <= k} hit_i / R``. With more than k relevant products it cannot reach 1.
    Manning, Raghavan and Schütze (2008), 8.3.

    >>> recall(np.array([[True, False, True, False]]), np.array([8]), k=4)
    array([0.25])
    """
    return _hits_within(hits_UK, k) / relevant_U


def hit_rate(hits_UK: Hits, relevant_U: Counts, k: int) -> Values:
    """One where the first k places hold at least one relevant product, else zero.

    ``HR@k = [sum_{i <= k} hit_i > 0]``. Deshpande and Karypis (2004).

    >>> hit_rate(np.array([[False, True], [False, False]]), np.array([1, 1]), k=2)
    array([1., 0.])
    """
    return (_hits_within(hits_UK, k) > 0).astype(np.float64)


def reciprocal_rank(hits_UK: Hits, relevant_U: Counts, k: int) -> Values:
    """One over the rank of the first relevant product, zero if there is none in k places.

    ``RR@k = 1 / min {i <= k : hit_i}``; its mean over users is MRR. Voorhees (1999).

    >>> reciprocal_rank(np.array([[False, True], [False, False]]), np.array([1, 1]), k=2)
    array([0.5, 0. ])
    """
    top = hits_UK[:, :k]
    first: Counts = top.argmax(axis=1) + 1
    return np.where(top.any(axis=1), 1.0 / first, 0.0)


def average_precision(hits_UK: Hits, relevant_U: Counts, k: int) -> Values:
    """Mean of the precisions at the ranks of the hits.

    ``AP@k = sum_{i <= k} hit_i * P@i / min(k, R)``; its mean over users is MAP. The
    divisor is the number of hits that a perfect list has, as in :func:`ndcg`.
    Manning, Raghavan and Schütze (2008), 8.4.

    >>> average_precision(np.array([[True, False, True]]), np.array([2]), k=3).round(4)
    array([0.8333])
    """
    top = hits_UK[:, :k]
    precision_at_rank = np.cumsum(top, axis=1) / np.arange(1, top.shape[1] + 1)
    total: Values = (top * precision_at_rank).sum(axis=1)
    return total / np.minimum(relevant_U, k)


def _hits_within(hits_UK: Hits, k: int) -> Values:
    count: Values = hits_UK[:, :k].sum(axis=1, dtype=np.float64)
    return count


RANKING_METRICS: Final[Mapping[str, RankingMetric]] = MappingProxyType(
    {
        "ndcg": ndcg,
        "precision": precision,
        "recall": recall,
        "hit_rate": hit_rate,
        "mrr": reciprocal_rank,
        "map": average_precision,
    }
)
