import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from recsys_kedro import columns as c
from recsys_kedro.models.base import best_columns, top_k
from recsys_kedro.vocabulary import Vocabulary

SCORES = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=2, max_dims=2, max_side=6),
    elements=st.sampled_from([-np.inf, 0.0, 1.0, 2.0]),
)


@given(SCORES, st.integers(1, 6))
def test_best_columns_are_the_head_of_a_stable_sort(scores, k):
    k = min(k, scores.shape[1])
    expected = np.sort(np.argsort(-scores, axis=1, kind="stable")[:, :k], axis=1)
    np.testing.assert_array_equal(best_columns(scores, k), expected)


def test_a_short_list_is_the_head_of_a_long_one_where_scores_tie():
    scores = np.zeros((1, 100), np.float32)
    vocabulary = Vocabulary.fit([f"{number:03}" for number in range(100)])
    short, long = (top_k(scores, k, vocabulary)[c.PRODUCT_ID].to_list() for k in (10, 50))
    assert short == long[:10] == [f"{number:03}" for number in range(10)]


def test_top_k_leaves_out_minus_infinity_and_counts_ranks_from_one():
    scores = np.array([[1, -np.inf, 3], [-np.inf] * 3], np.float32)
    frame = top_k(scores, 3, Vocabulary.fit(["x", "y", "z"]), first_query=5)
    assert frame.rows() == [(5, "z", 1, 3.0), (5, "x", 2, 1.0)]


@pytest.mark.parametrize("k", [0, 1])
def test_top_k_when_there_is_one_product(k):
    frame = top_k(np.ones((2, 1), np.float32), k, Vocabulary.fit(["x"]))
    assert frame[c.PRODUCT_ID].to_list() == ["x"] * 2 * k
