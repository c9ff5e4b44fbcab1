"""What diversity costs, and what exploration costs: NDCG of the lists that they make.

P products of a catalogue, D dimensions of a product's vector, N products of one user's ranking,
k places, U users.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import comb
from types import MappingProxyType
from typing import Final, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys_kedro import columns as c
from recsys_kedro.metrics.ranking import ndcg
from recsys_kedro.ranking.diversity import diversify, mmr
from recsys_kedro.vocabulary import Vocabulary

Diversifier: TypeAlias = Callable[
    [NDArray[np.floating], NDArray[np.floating], int, float], NDArray[np.int64]
]

DIVERSIFIERS: Final[Mapping[str, Diversifier]] = MappingProxyType({"dpp": diversify, "mmr": mmr})
STRENGTHS: Final = tuple(step / 10 for step in range(11))
SHARES: Final = tuple(step / 20 for step in range(11))


@dataclass(frozen=True)
class JudgedRanking:
    """What a model ranks for one user, best first, and what of it the user took.

    Attributes:
        product: (N,) rows of the catalogue.
        score: (N,) comparable within this ranking only.
        hit: (N,) whether the user took the product.
        relevant: how many products the user took, ranked or not; at least one.
    """

    product: NDArray[np.int64]
    score: NDArray[np.float64]
    hit: NDArray[np.bool_]
    relevant: int


def judged_rankings(
    truth: pl.DataFrame, recommendations: pl.DataFrame, vocabulary: Vocabulary
) -> list[JudgedRanking]:
    """One ranking per user of the truth, in the order of their ids.

    Args:
        truth: ``user_id, product_id`` of one task, each pair once.
        recommendations: ``user_id, product_id, rank, score`` of one model for that task.
        vocabulary: the catalogue; products that it lacks are left out of the rankings.
    """
    ranked = (
        recommendations.join(
            truth.select(c.USER_ID, c.PRODUCT_ID, hit=True),
            on=[c.USER_ID, c.PRODUCT_ID],
            how="left",
        )
        .with_columns(pl.Series("row", vocabulary.encode(recommendations[c.PRODUCT_ID])))
        .filter(pl.col("row") >= 0)
        .sort(c.USER_ID, c.RANK)
        .group_by(c.USER_ID, maintain_order=True)
        .agg("row", c.SCORE, pl.col("hit").fill_null(value=False))
    )
    users = truth.group_by(c.USER_ID).agg(relevant=pl.len()).sort(c.USER_ID)
    empty: list[float] = []
    return [
        JudgedRanking(
            np.array(row or empty, np.int64),
            np.array(score or empty, np.float64),
            np.array(hit or empty, np.bool_),
            relevant,
        )
        for row, score, hit, relevant in users.join(ranked, on=c.USER_ID, how="left")
        .sort(c.USER_ID)
        .select("row", c.SCORE, "hit", "relevant")
        .iter_rows()
    ]


def diversity_frontier(
    rankings: Sequence[JudgedRanking],
    vectors_PD: NDArray[np.floating],
    categories: Sequence[str | None],
    k: int,
    strengths: Sequence[float] = STRENGTHS,
) -> pl.DataFrame:
    """Lists of ``k`` by every diversifier at every strength, averaged over users.

    One row per ``method, strength``: ``ndcg``; ``distance``, the mean of 1 - cosine over the pairs
    of a list; ``categories``, how many different ones a list has; ``coverage``, the share of the
    catalogue that is in any list.

    Args:
        rankings: one per user.
        vectors_PD: of unit length.
        categories: (P,) of the products; None counts as one category.
        k: places of a list.
        strengths: from 0, by relevance alone, to 1.
    """
    rows = []
    for method, diversifier in DIVERSIFIERS.items():
        for strength in strengths:
            orders = [
                diversifier(each.score, vectors_PD[each.product], k, strength) for each in rankings
            ]
            lists = [each.product[order] for each, order in zip(rankings, orders, strict=True)]
            hits = [each.hit[order] for each, order in zip(rankings, orders, strict=True)]
            rows.append(
                {
                    "method": method,
                    "strength": strength,
                    "ndcg": float(ndcg(_padded(hits, k), _relevant(rankings), k).mean()),
                    "distance": float(np.mean([_distance(vectors_PD[some]) for some in lists])),
                    "categories": float(
                        np.mean([len({categories[row] for row in some}) for some in lists])
                    ),
                    "coverage": len(np.unique(np.concatenate(lists))) / len(vectors_PD),
                }
            )
    return pl.DataFrame(rows)


def exploration_cost(
    rankings: Sequence[JudgedRanking],
    k: int,
    reserves: int,
    shares: Sequence[float] = SHARES,
) -> pl.DataFrame:
    """The expected NDCG@k of explored lists: ``share, ndcg``, one row per share of exploration.

    It is the exact mean over all lists that exploration can make, see :func:`slot_chances`.

    Args:
        rankings: one per user; those with fewer than ``k + reserves`` products are left out.
        k: slots of a list.
        reserves: products behind the list that may be drawn.
        shares: probability that a slot is drawn.

    Raises:
        ValueError: if no ranking is long enough.
    """
    pool = k + reserves
    enough = [each for each in rankings if len(each.product) >= pool]
    if not enough:
        msg = f"none of {len(rankings)} rankings has {pool} products; lower k or reserves"
        raise ValueError(msg)
    hits_UN = np.stack([each.hit[:pool] for each in enough])
    discount_K = 1 / np.log2(np.arange(2, k + 2))
    ideal_U = discount_K.cumsum()[np.minimum(_relevant(enough), k) - 1]
    means = [
        float((hits_UN @ (discount_K @ slot_chances(pool, k, share)) / ideal_U).mean())
        for share in shares
    ]
    return pl.DataFrame({"share": shares, "ndcg": means})


def slot_chances(candidates: int, k: int, share: float) -> NDArray[np.float64]:
    """(k, candidates) the probability that each candidate is in each slot.

    Exact, for :func:`.exploration.explore` with equal weights. Before a slot the first b
    candidates are placed, the next one is not, and d others are. Those d are any d of the
    candidates behind it with equal chance, so that (b, d) is all that has to be known; b + d is the
    slot, so b is. If the best that is left is placed, b moves on past it and past the run of
    r drawn ones right behind it, which has the chance ``C(n - r - 1, d - r) / C(n, d)`` with n
    candidates behind.

    Args:
        candidates: at least ``k``, in their order.
        k: how many slots.
        share: probability that a slot is drawn.
    """
    chances_KN = np.zeros((k, candidates))
    standing = {0: 1.0}  # chance by b
    for slot in range(k):
        following: dict[int, float] = {}
        drawn = share / (candidates - slot)  # of each that is left
        for best, chance in standing.items():
            others, behind = slot - best, candidates - best - 1
            chances_KN[slot, best] += chance * (1 - share + drawn)
            if behind > others:
                free = 1 - others / behind
                chances_KN[slot, best + 1 :] += chance * drawn * free
                another = chance * drawn * (behind - others)
                following[best] = following.get(best, 0.0) + another
            for run in range(others + 1):
                after = best + 1 + run
                moved = _chance_of_run(run, others, behind) * chance * (1 - share + drawn)
                following[after] = following.get(after, 0.0) + moved
        standing = following
    return chances_KN


def _chance_of_run(run: int, chosen: int, places: int) -> float:
    """That of ``chosen`` of ``places`` exactly the first ``run`` are chosen in a row."""
    if run == places:
        return 1.0
    return comb(places - run - 1, chosen - run) / comb(places, chosen)


def _distance(vectors_KD: NDArray[np.floating]) -> float:
    """Mean of 1 - cosine over the pairs of a list; 0 for fewer than two."""
    if len(vectors_KD) < 2:
        return 0.0
    pairs = np.triu_indices(len(vectors_KD), 1)
    return float(1 - (vectors_KD @ vectors_KD.T)[pairs].mean())


def _padded(hits: Sequence[NDArray[np.bool_]], k: int) -> NDArray[np.bool_]:
    hits_UK = np.zeros((len(hits), k), np.bool_)
    for row, hit in zip(hits_UK, hits, strict=True):
        row[: len(hit)] = hit
    return hits_UK


def _relevant(rankings: Sequence[JudgedRanking]) -> NDArray[np.int64]:
    return np.array([each.relevant for each in rankings], np.int64)
