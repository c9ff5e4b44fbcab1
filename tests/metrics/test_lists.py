import polars as pl
import pytest

from recsys_kedro import columns as c
from recsys_kedro.metrics.lists import judge_lists, ndcg_by_user
from recsys_kedro.vocabulary import Vocabulary

TRUTH = pl.DataFrame(
    {c.USER_ID: ["u2", "u1", "u1"], c.PRODUCT_ID: ["a", "b", "z"]},
)
LIST_COLUMNS = [c.MODEL, c.USER_ID, c.PRODUCT_ID, c.RANK]


def lists(*rows: tuple[str, str, str, int]) -> pl.DataFrame:
    return pl.DataFrame(rows, LIST_COLUMNS, orient="row")


def test_hits_stand_where_their_rank_says():
    judged = judge_lists(TRUTH, lists(("m", "u1", "b", 2), ("m", "u1", "a", 1)), ["m"], 3)["m"]
    assert judged.hits_UK.tolist() == [[False, True, False], [False, False, False]]
    assert judged.relevant_U.tolist() == [2, 1]


def test_another_users_truth_is_no_hit():
    judged = judge_lists(TRUTH, lists(("m", "u1", "a", 1)), ["m"], 1)["m"]
    assert not judged.hits_UK.any()


def test_a_model_and_a_user_without_lists_miss_everything():
    judged = judge_lists(TRUTH, lists(("m", "u2", "a", 1)), ["m", "silent"], 2)
    assert judged["m"].hits_UK.sum() == 1
    assert not judged["silent"].hits_UK.any()


def test_ranks_beyond_the_depth_are_dropped():
    judged = judge_lists(TRUTH, lists(("m", "u2", "b", 1), ("m", "u2", "a", 3)), ["m"], 2)["m"]
    assert judged.hits_UK.shape == (2, 2)
    assert not judged.hits_UK.any()


def test_products_outside_the_vocabulary_are_empty_places():
    vocabulary = Vocabulary.fit(["a", "b"])
    rows = lists(("m", "u2", "b", 1), ("m", "u2", "new", 2))
    judged = judge_lists(TRUTH, rows, ["m"], 3, vocabulary)["m"]
    assert judged.products_UK.tolist() == [[-1, -1, -1], [1, -1, -1]]


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (("m", "u1", "b", 1), "2 rows repeat a rank within one list .*user 'u1', rank '1'"),
        (("m", "u1", "a", 2), "2 rows repeat a product_id within one list .*product_id 'a'"),
    ],
)
def test_a_list_that_repeats_itself_is_refused(second, message):
    with pytest.raises(ValueError, match=message):
        judge_lists(TRUTH, lists(("m", "u1", "a", 1), second), ["m"], 5)


def test_ndcg_by_user_has_a_row_for_every_task_model_and_user_of_the_truth():
    truth = TRUTH.select(pl.lit(c.TASK_NEW).alias(c.TASK), pl.all())
    rows = lists(("m", "u2", "a", 1)).select(pl.lit(c.TASK_NEW).alias(c.TASK), pl.all())
    got = ndcg_by_user(truth, rows, k=10)
    assert got.rows() == [(c.TASK_NEW, "m", "u1", 0.0), (c.TASK_NEW, "m", "u2", 1.0)]


def test_ndcg_by_user_of_an_empty_truth_is_an_empty_table():
    truth = pl.DataFrame(schema=dict.fromkeys([c.TASK, c.USER_ID, c.PRODUCT_ID], pl.String))
    rows = lists(("m", "u2", "a", 1)).select(pl.lit(c.TASK_NEW).alias(c.TASK), pl.all())
    assert ndcg_by_user(truth, rows, k=10).columns == [c.TASK, c.MODEL, c.USER_ID, "ndcg"]
