import numpy as np
import pandas as pd
import polars as pl
import pytest
from accuracy_peers.job import mean_ndcg
from accuracy_peers.judging import (
    best_step,
    clustered_intervals,
    differences_of,
    intervals_of,
    pooled,
    score_of,
    values_by_user,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_kedro.metrics.intervals import bootstrap_intervals

KEY = ["task", "user_id", "product_id"]
TRUTH = pl.DataFrame(
    [("all", "ann", "a"), ("all", "ann", "b"), ("all", "ben", "a"), ("new", "ben", "a")],
    KEY,
    orient="row",
)
LISTS = pl.DataFrame(
    [("all", "ann", "b", 1), ("all", "ben", "c", 1), ("all", "ben", "a", 2), ("all", "cy", "a", 1)],
    [*KEY, "rank"],
    orient="row",
)


def test_values_by_user_are_those_of_the_lists():
    found = values_by_user(TRUTH, LISTS)
    ann = 1 / (1 + 1 / np.log2(3))
    assert found.rows() == [
        ("all", "ann", pytest.approx(ann), 1),
        ("all", "ben", pytest.approx(1 / np.log2(3)), 1),
        ("new", "ben", 0, 0),
    ]
    assert score_of(TRUTH, LISTS) == pytest.approx((ann + 1 / np.log2(3)) / 2 / 2)


def test_the_first_of_the_best_steps_is_chosen():
    worse = LISTS.filter(pl.col("user_id") != "ben").with_columns(step=pl.lit(2))
    same = [LISTS.with_columns(step=pl.lit(step)) for step in (4, 6)]
    step, score = best_step(TRUTH, pl.concat([worse, *same]))
    assert (step, score) == (4, score_of(TRUTH, LISTS))


PAIRS = st.lists(
    st.tuples(st.sampled_from(["all", "new"]), st.sampled_from("uvw"), st.sampled_from("abcdef")),
    unique=True,
    min_size=1,
)


@settings(max_examples=30)
@given(truth=PAIRS, lists=PAIRS)
def test_the_runners_watch_by_the_judges_score(truth, lists):
    truth = pl.DataFrame(truth, KEY, orient="row")
    lists = pl.DataFrame(lists, KEY, orient="row").with_columns(
        rank=pl.int_range(pl.len()).over("task", "user_id") + 1
    )
    frames = [pd.DataFrame(table.to_dicts(), columns=table.columns) for table in (truth, lists)]
    assert mean_ndcg(*frames) == pytest.approx(score_of(truth, lists))


def test_with_a_row_per_user_the_bootstrap_is_the_usual_one():
    values = np.random.default_rng(0).random((40, 2))
    assert clustered_intervals(np.arange(40), values, seed=3) == [
        pytest.approx(each) for each in bootstrap_intervals(values, seed=3)
    ]


def test_rows_of_one_user_are_drawn_together():
    values = np.random.default_rng(0).random((40, 1))
    once = clustered_intervals(np.arange(40), values, seed=3)[0]
    often = clustered_intervals(np.repeat(np.arange(40), 5), np.repeat(values, 5, axis=0), seed=3)
    apart = clustered_intervals(np.arange(200), np.repeat(values, 5, axis=0), seed=3)[0]
    assert often[0] == pytest.approx(once)
    assert apart.high - apart.low < 0.6 * (once.high - once.low)  # sqrt(1 / 5) of it


def test_the_mean_is_over_rows():
    user = np.array([0, 0, 0, 1])
    found = clustered_intervals(user, np.array([[1.0], [1.0], [1.0], [0.0]]), seed=1)[0]
    assert found.value == 3 / 4
    assert (found.low, found.high) == (0, 1)


@pytest.fixture
def values():
    """Ours and one peer: two windows, two seeds of ours."""
    rows = [
        ("hybrid", 1, "w1", "all", "ann", 0.8, 1),
        ("hybrid", 2, "w1", "all", "ann", 0.4, 0),
        ("hybrid", 1, "w2", "all", "ann", 0.5, 1),
        ("hybrid", 2, "w2", "all", "ann", 0.5, 1),
        ("peer", 1, "w1", "all", "ann", 0.1, 0),
        ("peer", 1, "w2", "all", "ann", 0.2, 1),
    ]
    return pl.DataFrame(
        rows, ["model", "seed", "window", "task", "user_id", "ndcg@10", "hr@10"], orient="row"
    )


def test_seeds_are_averaged_and_windows_pooled(values):
    user, matrix = pooled(values, "all", "ndcg@10", ["peer", "hybrid"])
    assert user.tolist() == [0, 0]
    np.testing.assert_allclose(matrix, [[0.1, (0.8 + 0.4) / 2], [0.2, 0.5]])
    found = intervals_of(values, "all", "ndcg@10", ["hybrid", "peer"], seed=1)
    assert found["hybrid"].value == pytest.approx((0.6 + 0.5) / 2)


def test_the_difference_is_ours_minus_the_peers(values):
    found = differences_of(values, "all", "ndcg@10", "hybrid", ["peer", "hybrid"], seed=1)
    assert list(found) == ["peer"]
    assert found["peer"].value == pytest.approx((0.6 - 0.1 + 0.5 - 0.2) / 2)


def test_a_model_that_lacks_a_row_is_named(values):
    lacking = values.filter((pl.col("model") != "peer") | (pl.col("window") != "w2"))
    with pytest.raises(ValueError, match="peer: not every judged user of every window has a value"):
        pooled(lacking, "all", "ndcg@10", ["hybrid", "peer"])
