"""Where the next item stands, and what that is worth.

Shapes: U users, P items (or candidates), K places.
"""

import numpy as np
from numpy.typing import NDArray

from ordered.data import Ints
from ordered.linear import Floats
from recsys_kedro.metrics.ranking import hit_rate, ndcg

PLACES = 10
UNLISTED = np.iinfo(np.int64).max


def target_ranks(scores_UP: Floats, is_target_UP: NDArray[np.bool_]) -> Ints:
    """(U,) 1 is the top; of equal scores the target is last; UNLISTED if it has none or -inf."""
    score_U = np.where(is_target_UP, scores_UP, -np.inf).max(axis=1)
    rank_U = (scores_UP >= score_U[:, None]).sum(axis=1)
    return np.where(np.isfinite(score_U), rank_U, UNLISTED)


def figures_of(rank_U: Ints) -> dict[str, float]:
    """NDCG and hit rate of one relevant item per user, among the first ten."""
    hits_UK = rank_U[:, None] == np.arange(1, PLACES + 1)
    relevant_U = np.ones(len(rank_U), np.int64)
    return {
        f"ndcg_at_{PLACES}": float(ndcg(hits_UK, relevant_U, PLACES).mean()),
        f"hr_at_{PLACES}": float(hit_rate(hits_UK, relevant_U, PLACES).mean()),
    }
