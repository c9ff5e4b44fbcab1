"""The lists of a model, laid against what the users took."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys_kedro import columns as c
from recsys_kedro.metrics.ranking import ndcg
from recsys_kedro.vocabulary import UNKNOWN, Vocabulary

_PAIR = [c.USER_ID, c.PRODUCT_ID]
_ROW = "row"
_HIT = "hit"
_NDCG = "ndcg"
_NDCG_KEY = (c.TASK, c.MODEL, c.USER_ID)
_PRODUCT = "product_index"


@dataclass(frozen=True)
class JudgedLists:
    """The lists of one model for the U users of one task, at most K places each.

    Attributes:
        hits_UK: whether the product at that place is relevant; False where there is none.
        products_UK: index of the product at that place; -1 where there is none, or none
            that the vocabulary knows.
        relevant_U: how many products are relevant to each user; at least one.
    """

    hits_UK: NDArray[np.bool_]
    products_UK: NDArray[np.int64]
    relevant_U: NDArray[np.int64]


def truth_users(truth: pl.DataFrame) -> pl.DataFrame:
    """``user_id, relevant`` (number of relevant products) of one task, sorted by user."""
    return truth.group_by(c.USER_ID).agg(relevant=pl.len().cast(pl.Int64)).sort(c.USER_ID)


def judge_lists(
    truth: pl.DataFrame,
    recommendations: pl.DataFrame,
    models: Sequence[str],
    depth: int,
    vocabulary: Vocabulary | None = None,
) -> dict[str, JudgedLists]:
    """Judge the lists of ``models`` for one task.

    A user of the truth without a list has an empty one (all misses); a list for anybody
    else is ignored. The rows of the result follow :func:`truth_users`.

    Args:
        truth: ``user_id, product_id`` of one task, each pair once.
        recommendations: ``model, user_id, product_id, rank`` of the same task.
        models: the keys of the result; one without any list misses everything.
        depth: K, the ranks beyond it are dropped.
        vocabulary: gives ``products_UK`` its numbers; without it they are all -1.

    Raises:
        ValueError: if a list holds a rank or a product twice.
    """
    _check_lists(recommendations)
    users = truth_users(truth)
    rows = users.select(c.USER_ID).with_row_index(_ROW)
    product = pl.Series(_PRODUCT, _encode(vocabulary, recommendations[c.PRODUCT_ID]))
    judged = (
        recommendations.select(c.MODEL, *_PAIR, c.RANK)
        .with_columns(product)
        .filter(pl.col(c.RANK) <= depth)
        .join(rows, on=c.USER_ID)
        .join(truth.select(_PAIR).with_columns(pl.lit(True).alias(_HIT)), on=_PAIR, how="left")
        .with_columns(pl.col(_HIT).fill_null(value=False))
    )
    relevant_U = users["relevant"].to_numpy()
    return {
        model: _scatter(judged.filter(pl.col(c.MODEL) == model), relevant_U, depth)
        for model in models
    }


def model_names(recommendations: pl.DataFrame) -> list[str]:
    """The models of the table, in the order of their names."""
    return recommendations[c.MODEL].unique().sort().to_list()


def ndcg_by_user(truth: pl.DataFrame, recommendations: pl.DataFrame, k: int) -> pl.DataFrame:
    """NDCG@k of every user, model and task.

    Args:
        truth: ``task, user_id, product_id``, each row once.
        recommendations: ``task, model, user_id, product_id, rank``.
        k: places that count.

    Returns:
        ``task, model, user_id, ndcg``: one row per task, model of the recommendations and
        user of the task's truth (0 for a user without a list), sorted by the three.
    """
    models = model_names(recommendations)
    parts = [pl.DataFrame(schema=dict.fromkeys(_NDCG_KEY, pl.String) | {_NDCG: pl.Float64})]
    for task in truth[c.TASK].unique().sort():
        in_task = pl.col(c.TASK) == task
        task_truth = truth.filter(in_task)
        judged = judge_lists(task_truth, recommendations.filter(in_task), models, k)
        users = truth_users(task_truth)[c.USER_ID]
        for model, lists in judged.items():
            value = ndcg(lists.hits_UK, lists.relevant_U, k)
            key = (pl.lit(task).alias(c.TASK), pl.lit(model).alias(c.MODEL), c.USER_ID)
            parts.append(pl.DataFrame({c.USER_ID: users, _NDCG: value}).select(*key, _NDCG))
    return pl.concat(parts)


def _encode(vocabulary: Vocabulary | None, ids: pl.Series) -> NDArray[np.int64]:
    return np.full(ids.len(), UNKNOWN) if vocabulary is None else vocabulary.encode(ids)


def _scatter(judged: pl.DataFrame, relevant_U: NDArray[np.int64], depth: int) -> JudgedLists:
    shape = (len(relevant_U), depth)
    place = judged[_ROW].to_numpy(), judged[c.RANK].to_numpy() - 1
    hits_UK = np.zeros(shape, np.bool_)
    products_UK = np.full(shape, UNKNOWN, np.int64)
    hits_UK[place] = judged[_HIT].to_numpy()
    products_UK[place] = judged[_PRODUCT].to_numpy()
    return JudgedLists(hits_UK, products_UK, relevant_U)


def _check_lists(recommendations: pl.DataFrame) -> None:
    for column in (c.RANK, c.PRODUCT_ID):
        key: Sequence[str] = [c.MODEL, c.USER_ID, column]
        twice = recommendations.filter(recommendations.select(key).is_duplicated())
        if twice.height:
            first = twice.row(0, named=True)
            msg = (
                f"recommendations: {twice.height} rows repeat a {column} within one list (first: "
                f"model '{first[c.MODEL]}', user '{first[c.USER_ID]}', {column} "
                f"'{first[column]}'). A list names each product and each rank once: correct "
                f"what the model's recommend() returns."
            )
            raise ValueError(msg)
