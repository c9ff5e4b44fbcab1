"""The quiz for a user of whom nothing is known: what to ask, and what an answer is.

U users, P products, C candidates, N chosen products.
"""

from collections.abc import Collection, Container, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple, Protocol, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field
from scipy import sparse

from recsys_kedro import columns as c
from recsys_kedro.models.interactions import interaction_matrix
from recsys_kedro.models.item_knn import CosineOptions, cosine_neighbours
from recsys_kedro.options import Options
from recsys_kedro.queries import HISTORY_COLUMNS
from recsys_kedro.schemas import UTC_TIME
from recsys_kedro.vocabulary import Vocabulary

Indices = NDArray[np.int64]

ONBOARDING: Final = "onboarding"  # the session of the answers
LIKED_AS: Final = (c.CLICK, c.PRODUCT_VIEW, c.ADD_TO_CART, c.PURCHASE)  # see answer_event_type
MOMENT = timedelta(microseconds=1)


class OnboardingOptions(Options):
    """How much is asked, and what may be asked about."""

    questions: int = Field(5, ge=0, le=50, description="at most; 0: there is no quiz")
    choices: int = Field(6, ge=1, le=50, description="products per question, at most")
    per_category: int = Field(
        3, ge=1, description="products of a category before every category has had as many"
    )
    recognised: int = Field(
        500, ge=1, description="so many of the most taken products may be asked about"
    )
    recent_days: float = Field(
        90, gt=0, description="and only those taken within so many days: the others may be gone"
    )
    foreseen: int = Field(
        5_000, ge=1, description="so many of the most taken products are to be foreseen"
    )
    similarity: CosineOptions = CosineOptions(neighbours=200, shrinkage=10)


class Question(Options):
    """Which of these products please?"""

    id: str
    product_ids: tuple[str, ...] = Field(min_length=1)


class Quiz(Options):
    """The questions, and the type of event that an answer counts as."""

    event_type: str
    questions: tuple[Question, ...]

    @property
    def product_ids(self) -> tuple[str, ...]:
        """All products that are asked about."""
        return tuple(id_ for question in self.questions for id_ in question.product_ids)

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        path.write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what :meth:`save` wrote."""
        return cls.model_validate_json(path.read_bytes())


@dataclass(frozen=True)
class Askable:
    """What may be asked about, and who took what.

    Attributes:
        vocabulary: the P most taken products.
        taken_UP: 1 where the user has taken the product.
        candidates: (C,) product indices, most taken first.
        category: (P,) codes; a product without a category shares it with no other.
    """

    vocabulary: Vocabulary
    taken_UP: sparse.csr_matrix
    candidates: Indices
    category: Indices


def choose_quiz(
    events: pl.DataFrame,
    products: pl.DataFrame,
    as_of: datetime,
    target_event_types: Collection[str],
    options: OnboardingOptions,
) -> Quiz:
    """The quiz whose answers tell most about what else a user will take.

    A shop without anything that goes together has a quiz without questions.

    Args:
        events: the event table; what is at or after ``as_of`` is not used.
        products: ``product_id, category`` of the products that can be had now.
        as_of: UTC.
        target_event_types: what counts as taken.
        options: how much is asked.
    """
    past = events.filter(pl.col(c.TIMESTAMP) < as_of)
    shop = askable(past, products, as_of, target_event_types, options)
    event_type = answer_event_type(past[c.EVENT_TYPE].unique().to_list())
    return make_quiz(shop, telling_products(shop, options), event_type, options)


def askable(
    past: pl.DataFrame,
    products: pl.DataFrame,
    as_of: datetime,
    target_event_types: Collection[str],
    options: OnboardingOptions,
) -> Askable:
    """Who took what of the most taken products; arguments as in :func:`choose_quiz`."""
    taken = past.filter(pl.col(c.EVENT_TYPE).is_in(list(target_event_types)))
    most_taken = (
        taken.group_by(c.PRODUCT_ID)
        .agg(users=pl.col(c.USER_ID).n_unique(), last=pl.col(c.TIMESTAMP).max())
        .sort(["users", c.PRODUCT_ID], descending=[True, False])
        .head(options.foreseen)
    )
    recent = pl.col("last") >= as_of - timedelta(days=options.recent_days)
    candidates = (
        most_taken.filter(recent)
        .join(products, on=c.PRODUCT_ID, how="semi", maintain_order="left")
        .head(options.recognised)
    )
    vocabulary = Vocabulary.fit(most_taken[c.PRODUCT_ID])
    return Askable(
        vocabulary,
        interaction_matrix(
            taken,
            Vocabulary.fit(taken[c.USER_ID]),
            vocabulary,
            dict.fromkeys(target_event_types, 1),
        ),
        vocabulary.encode(candidates[c.PRODUCT_ID]),
        _category_codes(vocabulary, products),
    )


def _category_codes(vocabulary: Vocabulary, products: pl.DataFrame) -> Indices:
    known = pl.DataFrame({c.PRODUCT_ID: vocabulary.ids}).join(
        products.select(c.PRODUCT_ID, c.CATEGORY),
        on=c.PRODUCT_ID,
        how="left",
        maintain_order="left",
    )
    code = Vocabulary.fit(products[c.CATEGORY]).encode(known[c.CATEGORY])
    return np.where(code < 0, -1 - np.arange(len(code)), code)


def telling_products(shop: Askable, options: OnboardingOptions) -> Indices:
    """(N,) the products to ask about, the most telling first.

    Greedily maximises how much of what users take follows from what they would name,

    ``F(A) = sum_j max_{i in A} n_ij * cosine(i, j)``,

    with ``n_ij`` users who took both products and ``cosine(i, i) = 0``. Product i is worth
    asking about where many would name it and it says what else they take. F is never above the
    sum over users and their products j of the nearest *other* product asked about that they
    took too. It is a facility location problem with products as sites: monotone and submodular,
    so the greedy choice reaches at least 1 - 1/e of the best (Nemhauser, Wolsey and Fisher
    1978), and 1/2 where the limit per category binds (Fisher, Nemhauser and Wolsey 1978).

    Asking about representative products: Liu et al. (RecSys 2011); choosing them for what
    they foresee: Golbandi, Koren and Lempel (CIKM 2010). The choice ends where no product
    adds anything.
    """
    chosen: list[int] = []
    if not len(shop.candidates):
        return np.array(chosen, np.int64)
    near_CP = cosine_neighbours(shop.taken_UP, options.similarity)[shop.candidates]
    both_CP = shop.taken_UP[:, shop.candidates].T @ shop.taken_UP
    told_CP = near_CP.multiply(both_CP).toarray()
    best_P = np.zeros(told_CP.shape[1], np.float32)
    category_C = shop.category[shop.candidates]
    while len(chosen) < options.questions * options.choices:
        gain_C = np.maximum(told_CP - best_P, 0).sum(axis=1)
        telling_C = gain_C > 0
        if not telling_C.any():
            break
        asked_C = (category_C[:, None] == category_C[chosen]).sum(axis=1)
        turn_C = asked_C // options.per_category
        place = int(np.argmax(np.where(turn_C == turn_C[telling_C].min(), gain_C, 0)))
        chosen.append(place)
        np.maximum(best_P, told_CP[place], out=best_P)
    return shop.candidates[chosen]


def make_quiz(shop: Askable, chosen: Indices, event_type: str, options: OnboardingOptions) -> Quiz:
    """Deal the ``chosen`` products (N,) out, so that one question contrasts tastes.

    Each product, in its order, goes to the question whose products it is least like: by the
    sum of their cosines, plus 1 for each of the same category.
    """
    count = -(-len(chosen) // options.choices)
    dealt: list[list[int]] = [[] for _ in range(count)]
    if count:
        every = options.similarity.model_copy(update={"neighbours": None})
        alike_NN = cosine_neighbours(shop.taken_UP[:, chosen], every).toarray()
        alike_NN += shop.category[chosen][:, None] == shop.category[chosen]
    for place in range(len(chosen)):
        open_ = [question for question in dealt if len(question) < options.choices]
        min(open_, key=lambda question: alike_NN[place, question].sum()).append(place)
    return Quiz(
        event_type=event_type,
        questions=tuple(
            Question(id=f"q{number}", product_ids=tuple(shop.vocabulary.decode(chosen[places])))
            for number, places in enumerate(dealt, start=1)
        ),
    )


def answer_event_type(known: Container[str]) -> str:
    """What a liked product counts as: the first of :data:`LIKED_AS` among the ``known`` types.

    Linear models (item_knn, ease) rank alike from any type that they weigh. The hybrid does
    not: it learns how people go on after each type, so a type that the shop never logged tells
    it nothing, and a purchase tells it that the wish is fulfilled. A click is what a like most
    resembles; only a shop that logs nothing else has it counted as a purchase.
    """
    return next((kind for kind in LIKED_AS if kind in known), c.PURCHASE)


class Answer(Protocol):
    """The answer to one question."""

    @property
    def liked(self) -> Sequence[str]:
        """Ids of the products that please."""


class AnsweredEvents(NamedTuple):
    """A history that was answered, not lived through."""

    history: pl.DataFrame  # HISTORY_COLUMNS, each product once
    ignored: int  # products named that are not known


def answers_as_events(
    answers: Iterable[Answer], time: datetime, event_type: str, known: Container[str]
) -> AnsweredEvents:
    """The liked products as events just before ``time``, so that any model ranks from them.

    A list made from them has to leave the liked products out: the user has seen them, and a
    reason would speak of an event that never was.

    Args:
        answers: one per question, in any order; a product may be named twice.
        time: UTC; when the list is asked for.
        event_type: the quiz's.
        known: the ids that count, whichever quiz they were asked in.
    """
    liked = list(dict.fromkeys(id_ for answer in answers for id_ in answer.liked))
    found = [id_ for id_ in liked if id_ in known]
    frame = pl.DataFrame({c.PRODUCT_ID: found}, schema={c.PRODUCT_ID: pl.String})
    history = with_liked_events(frame, time, event_type).select(HISTORY_COLUMNS)
    return AnsweredEvents(history, len(liked) - len(found))


def with_liked_events(liked: pl.DataFrame, time: datetime, event_type: str) -> pl.DataFrame:
    """``liked`` (``product_id`` and anything else) with the other history columns."""
    return liked.with_columns(
        pl.lit(event_type).alias(c.EVENT_TYPE),
        pl.lit(time - MOMENT, UTC_TIME).alias(c.TIMESTAMP),
        pl.lit(ONBOARDING).alias(c.SESSION_ID),
        pl.lit(None, pl.Float64).alias(c.PRICE),
        pl.lit(1.0).alias(c.QUANTITY),
    )
