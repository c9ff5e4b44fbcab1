"""Expected values are the formulas, written out."""

from math import log2

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score

from recsys_kedro import columns as c
from recsys_kedro.metrics.lists import ndcg_by_user
from recsys_kedro.metrics.ranking import (
    RANKING_METRICS,
    average_precision,
    hit_rate,
    ndcg,
    precision,
    recall,
    reciprocal_rank,
)

HITS = np.array([[True, False, True], [False, False, False], [False, True, False]])
RELEVANT = np.array([2, 1, 5])


def test_ndcg_divides_by_an_ideal_of_min_k_and_relevant():
    expected = [
        (1 / log2(2) + 1 / log2(4)) / (1 / log2(2) + 1 / log2(3)),
        0,
        (1 / log2(3)) / (1 / log2(2) + 1 / log2(3) + 1 / log2(4)),
    ]
    assert ndcg(HITS, RELEVANT, 3) == pytest.approx(expected)


def test_precision_divides_by_k_even_where_the_list_is_shorter():
    assert precision(HITS, RELEVANT, 5) == pytest.approx([2 / 5, 0, 1 / 5])


def test_recall_divides_by_all_relevant_products():
    assert recall(HITS, RELEVANT, 3) == pytest.approx([2 / 2, 0, 1 / 5])


def test_hit_rate_asks_for_one_hit():
    assert hit_rate(HITS, RELEVANT, 3) == pytest.approx([1, 0, 1])
    assert hit_rate(HITS, RELEVANT, 1) == pytest.approx([1, 0, 0])


def test_reciprocal_rank_counts_the_first_hit_only():
    assert reciprocal_rank(HITS, RELEVANT, 3) == pytest.approx([1 / 1, 0, 1 / 2])


def test_average_precision_is_the_mean_over_hits():
    expected = [(1 / 1 + 2 / 3) / 2, 0, (1 / 2) / 3]
    assert average_precision(HITS, RELEVANT, 3) == pytest.approx(expected)


@pytest.mark.parametrize("name", RANKING_METRICS)
def test_a_perfect_list_scores_one(name):
    hits, relevant = np.array([[True, True, True, False]]), np.array([3])
    assert RANKING_METRICS[name](hits, relevant, 3) == pytest.approx([1.0])


@pytest.mark.parametrize("name", RANKING_METRICS)
def test_ranks_beyond_k_do_not_count(name):
    relevant = np.array([1])
    metric = RANKING_METRICS[name]
    assert metric(np.array([[False, False, True]]), relevant, 2) == pytest.approx([0.0])


def pandas_ndcg(truth: pd.DataFrame, lists: pd.DataFrame, k: int) -> pd.Series:
    """The same figure by other means: (task, model, user_id) to NDCG@k."""
    hits = lists[lists["rank"] <= k].merge(truth, on=["task", "user_id", "product_id"])
    hits["gain"] = 1 / np.log2(hits["rank"] + 1)
    dcg = hits.groupby(["task", "model", "user_id"])["gain"].sum()
    relevant = truth.groupby(["task", "user_id"]).size()
    ideal = relevant.map(lambda n: sum(1 / np.log2(i + 2) for i in range(min(n, k))))
    models = lists["model"].unique()
    index = [(task, model, user) for task, user in relevant.index for model in models]
    wanted = pd.MultiIndex.from_tuples(index, names=["task", "model", "user_id"])
    ideals = [ideal[task, user] for task, _, user in index]
    return dcg.reindex(wanted, fill_value=0.0) / ideals


@st.composite
def judged_shops(draw):
    """A truth and the lists of two models for up to five users, some of them without a list."""
    products = [f"p{number}" for number in range(8)]
    some = st.lists(st.sampled_from(products), unique=True, max_size=8)
    truth, lists = [], []
    for task in c.TASKS:
        for user in ("u1", "u2", "u3", "u4", "u5"):
            truth += [(task, user, product) for product in draw(some)]
            for model in ("ease", "hybrid"):
                ranked = enumerate(draw(some), start=1)
                lists += [(task, model, user, product, rank) for rank, product in ranked]
    lists += [(c.TASK_ALL, model, "nobody", "p0", 1) for model in ("ease", "hybrid")]
    truth += [(c.TASK_ALL, "u1", "never listed")]
    return (
        pl.DataFrame(truth, [c.TASK, c.USER_ID, c.PRODUCT_ID], orient="row"),
        pl.DataFrame(lists, [c.TASK, c.MODEL, c.USER_ID, c.PRODUCT_ID, c.RANK], orient="row"),
    )


@settings(max_examples=40, deadline=None)
@given(judged_shops(), st.integers(1, 10))
def test_ndcg_by_user_equals_a_recomputation_in_pandas(shop, k):
    truth, lists = shop
    got = ndcg_by_user(truth, lists, k).to_pandas().set_index(["task", "model", "user_id"])["ndcg"]
    expected = pandas_ndcg(truth.to_pandas(), lists.to_pandas(), k)
    assert len(got) == len(expected)
    assert got.sort_index().to_numpy() == pytest.approx(expected.sort_index().to_numpy())


@settings(max_examples=40, deadline=None)
@given(st.permutations(range(12)), st.sets(st.integers(0, 11), min_size=1), st.integers(1, 12))
def test_ndcg_equals_scikit_learn_on_full_rankings(ranking, relevant, k):
    hits = np.array([[product in relevant for product in ranking]])
    score = np.empty((1, 12))
    score[0, list(ranking)] = -np.arange(12.0)
    truth = np.array([[float(product in relevant) for product in range(12)]])
    expected = ndcg_score(truth, score, k=k, ignore_ties=True)
    assert ndcg(hits, np.array([len(relevant)]), k)[0] == pytest.approx(expected)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=12), st.integers(0, 5), st.integers(1, 15))
def test_every_metric_stays_within_zero_and_one(hits, missed, k):
    relevant = max(sum(hits) + missed, 1)
    values = [
        metric(np.array([hits]), np.array([relevant]), k)[0] for metric in RANKING_METRICS.values()
    ]
    assert all(0 <= value <= 1 + 1e-12 for value in values)
