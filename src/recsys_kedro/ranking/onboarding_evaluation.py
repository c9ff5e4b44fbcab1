"""What a quiz is worth: lists from its answers, against lists for everybody.

True newcomers are asked: users with no event before the cut. Some of what each of them took
stands for the taste that answers; the rest is what the lists have to find. Models, quizzes and
similarities are as of the cut, and nothing of the rest reaches an answer.

One caution: both parts are often of one visit, so the figures say how well the answers
complete what somebody has come for.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from scipy import sparse

from recsys_kedro import columns as c
from recsys_kedro.metrics.evaluation import Figure, Figures
from recsys_kedro.metrics.intervals import bootstrap_intervals
from recsys_kedro.metrics.lists import JudgedLists, judge_lists
from recsys_kedro.metrics.ranking import ndcg, recall
from recsys_kedro.models.base import Recommender
from recsys_kedro.models.item_knn import ItemKNN
from recsys_kedro.options import Options
from recsys_kedro.queries import Queries, build_queries
from recsys_kedro.ranking.onboarding import Quiz, with_liked_events
from recsys_kedro.schemas import UTC_TIME

DEPTH: Final = 20
METRICS: Final = ("ndcg@10", "recall@20")
_PAIR = [c.USER_ID, c.PRODUCT_ID]
Values = NDArray[np.float64]


class NewcomerOptions(Options):
    """Who is asked, and what they would like."""

    least_products: int = Field(4, ge=2, description="different products taken after the cut")
    answering_share: float = Field(
        0.5, gt=0, lt=1, description="of these, the part that answers; the rest is to be found"
    )
    liked_similarity: float | None = Field(
        0.25,
        gt=0,
        description="cosine to a product of the answering part from which a product is liked "
        "too; empty: only what is in that part",
    )


@dataclass(frozen=True)
class Newcomers:
    """Users without any event before ``cut``, and what they took after it.

    Attributes:
        cut: UTC; when they are asked.
        answering: ``user_id, product_id``, what their answers are made from.
        held_out: ``user_id, product_id``, what lists have to find.
    """

    cut: datetime
    answering: pl.DataFrame
    held_out: pl.DataFrame


class OnboardingEvaluation(BaseModel):
    """Lists after each quiz and lists for everybody, on the same users and the same truth.

    Attributes:
        users: newcomers who have something left to be found.
        answered: by quiz, the share of all newcomers who liked anything.
        liked: by quiz, products liked per newcomer.
        lists: by quiz or model, then by metric.
        differences: by quiz, then by what it is compared with: quiz minus that, user by user.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    users: int
    answered: dict[str, float]
    liked: dict[str, float]
    lists: dict[str, Figures]
    differences: dict[str, dict[str, Figures]]


def find_newcomers(
    events: pl.DataFrame,
    cut: datetime,
    end: datetime,
    target_event_types: Collection[str],
    options: NewcomerOptions,
    seed: int,
) -> Newcomers:
    """The newcomers of ``[cut, end)``; each one's products are split at random.

    Both parts have at least one product; all of them are target events of the window.
    """
    known = events.filter(pl.col(c.TIMESTAMP) < cut).select(c.USER_ID)
    taken = (
        events.filter(
            pl.col(c.TIMESTAMP).is_between(cut, end, "left"),
            pl.col(c.EVENT_TYPE).is_in(list(target_event_types)),
        )
        .join(known, on=c.USER_ID, how="anti")
        .select(_PAIR)
        .unique()
        .filter(pl.len().over(c.USER_ID) >= options.least_products)
        .sort(_PAIR)
    )
    draw = pl.Series("draw", np.random.default_rng(seed).random(taken.height))
    place = pl.col("draw").rank("ordinal").over(c.USER_ID)
    answering = (pl.len().over(c.USER_ID) * options.answering_share).floor().clip(lower_bound=1)
    marked = taken.with_columns(draw).with_columns((place <= answering).alias("answers"))
    return Newcomers(
        cut,
        marked.filter("answers").select(_PAIR),
        marked.filter(~pl.col("answers")).select(_PAIR),
    )


def simulate_answers(
    quiz: Quiz, newcomers: Newcomers, taste: ItemKNN, liked_similarity: float | None
) -> pl.DataFrame:
    """``user_id`` and the history columns: the products of the quiz that each newcomer likes.

    Args:
        quiz: what is asked.
        newcomers: whose answering part decides.
        taste: fitted before the cut; its cosines say which products go with which. Nobody
            likes what it does not know.
        liked_similarity: see :class:`NewcomerOptions`.
    """
    vocabulary = taste.vocabulary
    asked = pl.Series([id_ for id_ in quiz.product_ids if id_ in vocabulary], dtype=pl.String)
    users = newcomers.answering[c.USER_ID].unique().sort()
    row = users.search_sorted(newcomers.answering[c.USER_ID]).to_numpy()
    column = vocabulary.encode(newcomers.answering[c.PRODUCT_ID])
    known = column >= 0
    likes_PP = sparse.identity(len(vocabulary), dtype=np.float32, format="csr")
    if liked_similarity is not None:
        likes_PP = likes_PP + (taste.neighbours >= liked_similarity)
    part_UP = sparse.csr_matrix(
        (np.ones(known.sum(), np.float32), (row[known], column[known])),
        shape=(len(users), len(vocabulary)),
    )
    user, place = (part_UP @ likes_PP[:, vocabulary.encode(asked)]).nonzero()
    liked = pl.DataFrame({c.USER_ID: users[user], c.PRODUCT_ID: asked[place]})
    return with_liked_events(liked.sort(_PAIR), newcomers.cut, quiz.event_type)


def evaluate_quiz(
    quizzes: Mapping[str, Quiz],
    newcomers: Newcomers,
    taste: ItemKNN,
    model: Recommender,
    baselines: Sequence[Recommender],
    options: NewcomerOptions,
    seed: int,
) -> OnboardingEvaluation:
    """Ask the newcomers all quizzes and compare the lists.

    Arguments as in :func:`simulate_answers` and :func:`evaluate_answers`.
    """
    answers = {
        name: simulate_answers(quiz, newcomers, taste, options.liked_similarity)
        for name, quiz in quizzes.items()
    }
    return evaluate_answers(answers, newcomers, model, baselines, seed)


def evaluate_answers(
    answers: Mapping[str, pl.DataFrame],
    newcomers: Newcomers,
    model: Recommender,
    baselines: Sequence[Recommender],
    seed: int,
) -> OnboardingEvaluation:
    """Lists of ``model`` from each quiz's answers, and lists of the baselines from nothing.

    A product that a newcomer liked in any of the quizzes has been shown already: it is left
    out of all lists of this user and of what they have to find, so that all are judged alike.
    Who likes nothing stays in, with the list that the model has for an empty history.

    Args:
        answers: by quiz, ``user_id`` and the history columns.
        newcomers: who is asked, and what they then took.
        model: fitted before the cut, as are the baselines.
        baselines: what does without answers.
        seed: of the bootstrap over users.
    """
    users = newcomers.held_out[c.USER_ID].unique().sort()
    shown = pl.concat([history.select(_PAIR) for history in answers.values()]).unique()
    truth = newcomers.held_out.join(shown, on=_PAIR, how="anti")
    none = next(iter(answers.values())).clear()
    asked = [(name, model, history) for name, history in answers.items()]
    asked += [(baseline.name, baseline, none) for baseline in baselines]
    lists = [
        _lists(name, recommender, _queries(users, history, newcomers.cut), users, shown)
        for name, recommender, history in asked
    ]
    judged = judge_lists(truth, pl.concat(lists), [name for name, *_ in asked], DEPTH)
    values = {name: _values(each) for name, each in judged.items()}
    asked_users = max(len(users), 1)
    return OnboardingEvaluation(
        users=truth[c.USER_ID].n_unique(),
        answered={name: each[c.USER_ID].n_unique() / asked_users for name, each in answers.items()},
        liked={name: each.height / asked_users for name, each in answers.items()},
        lists={name: _figures(value, seed) for name, value in values.items()},
        differences={
            name: {
                other: _figures(values[name] - value, seed)
                for other, value in values.items()
                if other != name
            }
            for name in answers
        },
    )


def _queries(users: pl.Series, answered: pl.DataFrame, cut: datetime) -> Queries:
    """One query per user (sorted), with the answers for a history."""
    as_of = pl.lit(cut, UTC_TIME).alias(c.AS_OF)
    requests = pl.DataFrame({c.USER_ID: users}).with_columns(as_of)
    return build_queries(answered.with_row_index(c.SOURCE_ROW), requests)


def _lists(
    name: str, model: Recommender, queries: Queries, users: pl.Series, shown: pl.DataFrame
) -> pl.DataFrame:
    """``model, user_id, product_id, rank``, without what was shown."""
    most = max(shown.group_by(c.USER_ID).len()["len"].to_list(), default=0)
    best = model.recommend(queries, DEPTH + most, exclude_seen=False)
    return (
        best.with_columns(users.gather(best[c.QUERY]).alias(c.USER_ID))
        .join(shown, on=_PAIR, how="anti", maintain_order="left")
        .select(
            pl.lit(name).alias(c.MODEL),
            *_PAIR,
            pl.int_range(1, pl.len() + 1, dtype=pl.Int64).over(c.USER_ID).alias(c.RANK),
        )
        .filter(pl.col(c.RANK) <= DEPTH)
    )


def _values(judged: JudgedLists) -> Values:
    """(U, M) the :data:`METRICS` of each user."""
    hits_UK, relevant_U = judged.hits_UK, judged.relevant_U
    return np.stack([ndcg(hits_UK, relevant_U, 10), recall(hits_UK, relevant_U, 20)], axis=1)


def _figures(values_UM: Values, seed: int) -> Figures:
    intervals = bootstrap_intervals(values_UM, seed)
    return {name: Figure.of(each) for name, each in zip(METRICS, intervals, strict=True)}
