from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from recsys_kedro import columns as c
from recsys_kedro.simulation.oracle import oracle_scores
from recsys_kedro.simulation.shop import simulate_shop
from recsys_kedro.splits import SplitOptions, make_time_split, window_truth

DISCOUNT = 1 / np.log2(np.arange(2, 12))


@pytest.fixture(scope="module")
def many(shop_options):
    """Enough users for figures that stand still."""
    return simulate_shop(shop_options.model_copy(update={"users": 2_000}), seed=5)


def cut_of(shop):
    as_of = shop.events[c.TIMESTAMP].max() + timedelta(microseconds=1)
    return make_time_split(shop.events, as_of, SplitOptions(horizon_days=28))


def truth_matrix(shop, task):
    """(Q,) users with a purchase before the cut, (Q, P) what they took, (Q, P) and before."""
    split = cut_of(shop)
    product = {id_: p for p, id_ in enumerate(shop.tastes.product_ids)}
    before = shop.events.filter(
        pl.col(c.EVENT_TYPE) == c.PURCHASE, pl.col(c.TIMESTAMP) < split.test_start
    )
    truth = window_truth(shop.events, split.test_start, split.end, split).filter(
        pl.col(c.TASK) == task, pl.col(c.USER_ID).is_in(before[c.USER_ID].implode())
    )
    users = truth[c.USER_ID].unique().sort()
    row = {id_: q for q, id_ in enumerate(users)}
    taken, had = np.zeros((2, len(users), len(product)), bool)
    for matrix, pairs in ((taken, truth), (had, before.filter(pl.col(c.USER_ID).is_in(row)))):
        for user, item in pairs.select(c.USER_ID, c.PRODUCT_ID).iter_rows():
            matrix[row[user], product[item]] = True
    popularity = np.zeros(len(product))
    np.add.at(popularity, [product[item] for item in before[c.PRODUCT_ID]], 1)
    return users, taken, had, popularity


def ndcg_at_10(scores, taken):
    top = np.argsort(-scores, axis=1, kind="stable")[:, :10]
    gain = (np.take_along_axis(taken, top, axis=1) * DISCOUNT).sum(axis=1)
    ideal = np.cumsum(DISCOUNT)[np.minimum(taken.sum(axis=1), 10) - 1]
    return float((gain / ideal).mean())


@pytest.mark.parametrize("task", c.TASKS)
def test_oracle_beats_popularity_by_far(many, task):
    users, taken, had, popularity = truth_matrix(many, task)
    cut = cut_of(many).test_start
    oracle = oracle_scores(many.tastes, users, cut, many.events)
    popular = np.tile(popularity, (len(users), 1))
    if task == c.TASK_NEW:
        oracle[had], popular[had] = -np.inf, -np.inf
    assert len(users) > 300
    assert ndcg_at_10(oracle, taken) > 3 * ndcg_at_10(popular, taken)


def test_history_helps_where_repeats_count(many):
    users, taken, _, _ = truth_matrix(many, c.TASK_ALL)
    cut = cut_of(many).test_start
    with_history = oracle_scores(many.tastes, users, cut, many.events)
    without = oracle_scores(many.tastes, users, cut)
    assert ndcg_at_10(with_history, taken) > 1.1 * ndcg_at_10(without, taken)


def test_without_signal_there_is_nothing_to_know(shop_options):
    options = shop_options.model_copy(
        update={"signal": 0.0, "users": 1_000, "consumable_share": 0.0}
    )
    shop = simulate_shop(options, seed=5)
    users, taken, had, popularity = truth_matrix(shop, c.TASK_NEW)
    oracle = oracle_scores(shop.tastes, users, cut_of(shop).test_start, shop.events)
    popular = np.tile(popularity, (len(users), 1))
    oracle[had], popular[had] = -np.inf, -np.inf
    assert ndcg_at_10(oracle, taken) < 2 * ndcg_at_10(popular, taken)


def test_events_from_the_cut_on_change_nothing(shop):
    cut = cut_of(shop).test_start
    users = shop.users[c.USER_ID][:50]
    past = shop.events.filter(pl.col(c.TIMESTAMP) < cut)
    np.testing.assert_array_equal(
        oracle_scores(shop.tastes, users, cut, shop.events),
        oracle_scores(shop.tastes, users, cut, past),
    )


def test_product_that_is_not_there_yet_is_not_scored(shop):
    cut = cut_of(shop).test_start
    made = dict(shop.products.select(c.PRODUCT_ID, c.CREATED_AT).iter_rows())
    later = np.array([made[id_] >= cut for id_ in shop.tastes.product_ids])
    scores = oracle_scores(shop.tastes, shop.users[c.USER_ID][:3], cut)
    assert later.any()
    np.testing.assert_array_equal(np.isneginf(scores), np.tile(later, (3, 1)))


def test_scores_are_those_of_the_user_whatever_the_order(shop):
    users = shop.users[c.USER_ID][:6]
    cut = cut_of(shop).test_start
    there = oracle_scores(shop.tastes, users, cut, shop.events)
    back = oracle_scores(shop.tastes, users.reverse(), cut, shop.events)
    np.testing.assert_allclose(there, back[::-1], rtol=1e-5)


def test_unknown_user_is_named(shop):
    with pytest.raises(ValueError, match=r"1 are not users.*row 1, 'nobody'"):
        oracle_scores(shop.tastes, pl.Series(["U001", "nobody"]), cut_of(shop).test_start)


def test_expected_purchases_are_about_what_happens(many):
    """Scores are purchases per session: summed over users they follow the sales."""
    split = cut_of(many)
    users = many.users[c.USER_ID]
    window = many.events.filter(pl.col(c.TIMESTAMP) >= split.test_start)
    sessions = dict(window.group_by(c.USER_ID).agg(pl.col(c.SESSION_ID).n_unique()).iter_rows())
    scores = np.maximum(oracle_scores(many.tastes, users, split.test_start, many.events), 0)
    visits = np.array([sessions.get(id_, 0) for id_ in users])
    sold = dict(
        window.filter(pl.col(c.EVENT_TYPE) == c.PURCHASE)[c.PRODUCT_ID].value_counts().iter_rows()
    )
    actual = np.array([sold.get(id_, 0) for id_ in many.tastes.product_ids])
    assert np.corrcoef(visits @ scores, actual)[0, 1] > 0.9
