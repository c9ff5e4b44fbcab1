import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys_kedro import columns as c
from recsys_kedro.ranking.trade_offs import (
    DIVERSIFIERS,
    JudgedRanking,
    diversity_frontier,
    exploration_cost,
    judged_rankings,
    slot_chances,
)
from recsys_kedro.vocabulary import Vocabulary

ACROSS = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])


def ranking(products, scores, hits, relevant=None):
    hit = np.array(hits, bool)
    wanted = max(int(hit.sum()), 1) if relevant is None else relevant
    return JudgedRanking(np.array(products, np.int64), np.array(scores, float), hit, wanted)


def listed(*rows):
    names = [c.USER_ID, c.PRODUCT_ID, c.RANK, c.SCORE]
    return pl.DataFrame(rows, schema=names, orient="row")


def test_rankings_are_judged_user_by_user():
    truth = pl.DataFrame({c.USER_ID: ["v", "u", "u"], c.PRODUCT_ID: ["a", "b", "never listed"]})
    lists = listed(("u", "a", 2, 0.1), ("u", "b", 1, 0.9), ("stranger", "a", 1, 1.0))
    u, v = judged_rankings(truth, lists, Vocabulary.fit(["a", "b"]))
    assert (u.product.tolist(), u.score.tolist()) == ([1, 0], [0.9, 0.1])
    assert (u.hit.tolist(), u.relevant) == ([True, False], 2)
    assert (v.product.tolist(), v.hit.tolist(), v.relevant) == ([], [], 1)


def test_products_outside_the_catalogue_are_left_out():
    truth = pl.DataFrame({c.USER_ID: ["u"], c.PRODUCT_ID: ["gone"]})
    (u,) = judged_rankings(truth, listed(("u", "gone", 1, 1.0)), Vocabulary.fit(["a"]))
    assert (u.product.tolist(), u.relevant) == ([], 1)


def test_the_frontier_by_hand():
    """Two alike products lead; at full strength the third takes the second place."""
    one = ranking([0, 1, 2], [3.0, 2.9, 1.0], [False, True, False])
    frontier = diversity_frontier([one], ACROSS, ["mug", "mug", "bag"], 2, strengths=(0.0, 1.0))
    assert frontier["method"].to_list() == ["dpp", "dpp", "mmr", "mmr"]
    second = 1 / math.log2(3)
    assert frontier["ndcg"].to_list() == pytest.approx([second, 0, second, 0])
    assert frontier["distance"].to_list() == pytest.approx([0, 1, 0, 1])
    assert frontier["categories"].to_list() == [1, 2, 1, 2]
    assert frontier["coverage"].to_list() == pytest.approx([2 / 3] * 4)


def test_a_user_without_a_list_scores_nothing():
    lists = [ranking([0], [1.0], [True]), ranking([], [], [], relevant=1)]
    frontier = diversity_frontier(lists, ACROSS, ["a", "b", "c"], 2, strengths=(0.0,))
    assert frontier["ndcg"].to_list() == [1 / 2] * len(DIVERSIFIERS)


def every_list(candidates, k, share, placed=()):
    """All lists of ``k`` with their probabilities, slot by slot as exploration fills them."""
    if len(placed) == k:
        yield placed, 1.0
        return
    left = [place for place in range(candidates) if place not in placed]
    for pick in left:
        chance = share / len(left) + (1 - share) * (pick == left[0])
        for rest, probability in every_list(candidates, k, share, (*placed, pick)):
            yield rest, chance * probability


@given(st.integers(1, 5), st.integers(1, 5), st.floats(0, 0.5))
def test_slot_chances_are_those_of_all_lists(candidates, k, share):
    k = min(k, candidates)
    expected = np.zeros((k, candidates))
    for order, probability in every_list(candidates, k, share):
        expected[np.arange(k), order] += probability
    np.testing.assert_allclose(slot_chances(candidates, k, share), expected, atol=1e-12)


@given(st.integers(1, 40), st.floats(0, 0.5))
def test_every_slot_holds_exactly_one_product(candidates, share):
    chances = slot_chances(candidates, min(candidates, 10), share)
    np.testing.assert_allclose(chances.sum(axis=1), 1)
    assert (chances.sum(axis=0) < 1 + 1e-9).all()  # no product twice


def test_what_exploration_costs_by_hand():
    """One place, one reserve: the hit stays in front but for half of the drawn slots."""
    one = ranking([0, 1], [2.0, 1.0], [True, False])
    cost = exploration_cost([one], k=1, reserves=1, shares=(0.0, 0.4))
    assert cost["ndcg"].to_list() == pytest.approx([1, 1 - 0.4 / 2])


def test_short_rankings_are_not_explored():
    short, long = ranking([0], [1.0], [True]), ranking([0, 1], [2.0, 1.0], [False, True])
    assert exploration_cost([short, long], 1, 1, (0.0,))["ndcg"].to_list() == [0]
    with pytest.raises(ValueError, match="none of 1 rankings has 2 products"):
        exploration_cost([short], 1, 1)
