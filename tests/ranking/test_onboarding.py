from dataclasses import dataclass
from itertools import combinations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import sparse

from recsys_kedro import columns as c
from recsys_kedro.models.base import TrainingData
from recsys_kedro.models.ease import EASE
from recsys_kedro.models.item_knn import CosineOptions, ItemKNN, ItemKNNOptions, cosine_neighbours
from recsys_kedro.queries import build_queries
from recsys_kedro.ranking.onboarding import (
    LIKED_AS,
    Askable,
    OnboardingOptions,
    Quiz,
    answer_event_type,
    answers_as_events,
    askable,
    choose_quiz,
    make_quiz,
    telling_products,
)
from recsys_kedro.vocabulary import Vocabulary

AS_OF = 100
TAKEN = (c.PURCHASE,)
COSINE = CosineOptions(neighbours=None)


@dataclass(frozen=True)
class Liked:
    """An answer as a request brings it."""

    liked: list[str]


def options(**given_options):
    return OnboardingOptions(**({"similarity": COSINE, "per_category": 50} | given_options))


def product_table(*ids, categories=None):
    given_categories = categories or dict.fromkeys(ids)
    return pl.DataFrame(
        {c.PRODUCT_ID: ids, c.CATEGORY: [given_categories[id_] for id_ in ids]},
        schema={c.PRODUCT_ID: pl.String, c.CATEGORY: pl.String},
    )


def asked(quiz):
    return [list(question.product_ids) for question in quiz.questions]


@pytest.fixture
def two_tastes(make_events):
    """Ten users take all lamps but one, five users all mugs but one."""
    return make_events(
        *((f"l{user}", f"lamp{n}", 50) for user in range(10) for n in range(5) if n != user % 5),
        *((f"m{user}", f"mug{n}", 50) for user in range(5) for n in range(5) if n != user),
    )


@pytest.fixture
def two_rings(make_events):
    """Six lamps, each taken with the next by three users; six mugs, by one user."""
    return make_events(
        *((f"l{user}", f"lamp{n % 6}", 50) for user in range(18) for n in (user, user + 1)),
        *((f"m{user}", f"mug{n % 6}", 50) for user in range(6) for n in (user, user + 1)),
    )


def table_of(events):
    return product_table(*events[c.PRODUCT_ID].unique().sort())


def taste_of(ids):
    return [id_.rstrip("0123456789") for id_ in ids]


def test_all_tastes_are_asked_about(two_tastes, day):
    # A first lamp tells 4 lamps with 6 users and a cosine of 6 / 8 each; a second one would tell
    # 1 more (4.5), a first mug tells 4 with 3 users and 3 / 4 (9).
    opts = options(questions=1, choices=2)
    quiz = choose_quiz(two_tastes, table_of(two_tastes), day(AS_OF), TAKEN, opts)
    assert taste_of(quiz.product_ids) == ["lamp", "mug"]


@pytest.mark.parametrize(
    "in_turn", [("lamp1", "lamp2", "mug1", "mug2"), ("lamp1", "mug1", "lamp2", "mug2")]
)
def test_each_question_contrasts_the_tastes(two_tastes, day, in_turn):
    shop = askable(two_tastes, table_of(two_tastes), day(AS_OF), TAKEN, options())
    chosen = shop.vocabulary.encode(pl.Series(in_turn))
    quiz = make_quiz(shop, chosen, c.CLICK, options(choices=2))
    assert asked(quiz) == [["lamp1", "mug1"], ["lamp2", "mug2"]]


def test_an_answer_moves_the_list(two_tastes, day):
    products, opts = table_of(two_tastes), options(questions=1, choices=2)
    quiz = choose_quiz(two_tastes, products, day(AS_OF), TAKEN, opts)
    data = TrainingData(two_tastes, products, pl.DataFrame(), day(AS_OF), TAKEN)
    model = ItemKNN.fit(data, ItemKNNOptions(), seed=0)
    for liked in quiz.product_ids:
        history, _ = answers_as_events([Liked([liked])], day(AS_OF), quiz.event_type, [liked])
        best = model.recommend(query(history, day(AS_OF)), 5, exclude_seen=False)
        assert set(taste_of(best[c.PRODUCT_ID])) == set(taste_of([liked]))


def query(history, as_of):
    """One query of somebody with this history."""
    requests = pl.DataFrame({c.USER_ID: ["new"], c.AS_OF: [as_of]})
    events = history.with_columns(pl.lit("new").alias(c.USER_ID)).with_row_index(c.SOURCE_ROW)
    return build_queries(events, requests)


@pytest.mark.parametrize("model", [ItemKNN, EASE])
def test_linear_models_rank_alike_from_any_type_of_event(model, shop, shop_events, shop_split):
    cut = shop_split.test_start
    past = shop_events.filter(pl.col(c.TIMESTAMP) < cut)
    data = TrainingData(past, shop.products, shop.users, cut, TAKEN)
    fitted = model.fit(data, model.options_type(), seed=0)
    known = shop.products[c.PRODUCT_ID]
    lists = []
    for event_type in LIKED_AS:
        history, _ = answers_as_events(
            [Liked(known[[1, 20, 60]].to_list())], cut, event_type, known
        )
        best = fitted.recommend(query(history, cut), 10, exclude_seen=False)
        lists.append(best[c.PRODUCT_ID].to_list())
    assert lists == [lists[0]] * len(LIKED_AS)


def test_the_most_telling_product_comes_first(make_events, day):
    events = make_events(
        ("u1", "a", 50), ("u1", "b", 50), ("u2", "a", 50), ("u2", "c", 50),
        ("u3", "d", 50), ("u3", "e", 50),
    )  # fmt: skip
    # n_ab = n_ac = 1 and their cosine 1 / sqrt(2 * 1), n_de = 1 and its cosine 1. First a gains
    # 2 / sqrt(2), d and e gain 1, b and c gain 1 / sqrt(2). Neither takes anything from the
    # others' gains, until b has told what c would tell.
    shop = askable(events, product_table(*"abcde"), day(AS_OF), TAKEN, options())
    chosen = telling_products(shop, options())
    assert shop.vocabulary.decode(chosen).to_list() == ["a", "d", "e", "b"]


def told(told_PP, chosen):
    return float(told_PP[list(chosen)].max(axis=0).sum())


@given(seed=st.integers(0, 10_000))
def test_greedy_is_within_its_bound_of_the_best(seed):
    taken = (np.random.default_rng(seed).random((12, 8)) < 0.3).astype(np.float32)
    matrix = sparse.csr_matrix(taken)
    shop = Askable(Vocabulary.fit("abcdefgh"), matrix, np.arange(8), np.arange(8))
    told_PP = cosine_neighbours(matrix, COSINE).toarray() * (taken.T @ taken)
    best = max(told(told_PP, some) for some in combinations(range(8), 3))
    chosen = telling_products(shop, options(questions=1, choices=3))
    reached = told(told_PP, chosen) if len(chosen) else 0.0
    assert reached >= (1 - 1 / np.e) * best - 1e-5


def test_categories_take_turns(two_rings, day):
    # Lamps gain 2 * 3 / 2, as much again, 3 / 2, 3 / 2; mugs a third of it.
    ids = table_of(two_rings)[c.PRODUCT_ID]
    table = product_table(*ids, categories=dict(zip(ids, taste_of(ids), strict=True)))
    for limit, lamps in ((1, 2), (3, 3), (4, 4)):
        opts = options(questions=1, choices=4, per_category=limit)
        quiz = choose_quiz(two_rings, table, day(AS_OF), TAKEN, opts)
        assert sorted(taste_of(quiz.product_ids)) == ["lamp"] * lamps + ["mug"] * (4 - lamps)


def test_a_limit_that_leaves_too_few_is_raised(two_rings, day):
    table = table_of(two_rings).with_columns(pl.lit("all").alias(c.CATEGORY))
    opts = options(questions=1, choices=4, per_category=1)
    assert len(choose_quiz(two_rings, table, day(AS_OF), TAKEN, opts).product_ids) == 4


def test_products_without_category_are_not_of_one(two_rings, day):
    ids = table_of(two_rings)[c.PRODUCT_ID]
    table = product_table(*ids, categories={id_: id_ if "mug" in id_ else None for id_ in ids})
    opts = options(questions=1, choices=4, per_category=1)
    quiz = choose_quiz(two_rings, table, day(AS_OF), TAKEN, opts)
    assert taste_of(quiz.product_ids) == ["lamp"] * 4


def test_products_of_a_category_are_dealt_apart():
    nobody_shares = sparse.identity(4, dtype=np.float32, format="csr")
    category = np.array([7, 7, 8, 8])
    shop = Askable(Vocabulary.fit("abcd"), nobody_shares, np.arange(4), category)
    quiz = make_quiz(shop, np.arange(4), c.CLICK, options(choices=2))
    assert asked(quiz) == [["a", "c"], ["b", "d"]]


def test_no_more_is_asked_than_tells_something(two_rings, day):
    # Four of a ring of six are next to all others.
    opts = options(questions=5, choices=6)
    quiz = choose_quiz(two_rings, table_of(two_rings), day(AS_OF), TAKEN, opts)
    assert [len(question) for question in asked(quiz)] == [4, 4]
    assert [question.id for question in quiz.questions] == ["q1", "q2"]
    assert sorted(taste_of(quiz.product_ids)) == ["lamp"] * 4 + ["mug"] * 4
    assert len(set(quiz.product_ids)) == 8


def test_when_nothing_has_happened(make_events, day):
    for table in (product_table(), product_table("a")):
        quiz = choose_quiz(make_events(), table, day(AS_OF), TAKEN, options())
        assert quiz == Quiz(event_type=c.PURCHASE, questions=())


def test_when_nothing_goes_together(make_events, day):
    events = make_events(("u1", "a", 50), ("u2", "b", 50))
    quiz = choose_quiz(events, product_table("a", "b"), day(AS_OF), TAKEN, options())
    assert quiz.questions == ()


def test_no_questions_wanted(two_tastes, day):
    products = table_of(two_tastes)
    assert (
        choose_quiz(two_tastes, products, day(AS_OF), TAKEN, options(questions=0)).questions == ()
    )


def test_only_what_can_be_had_and_is_known_well_is_asked(make_events, day):
    takes = {"a": 90, "b": 11, "old": 9, "c": 10, "rare": 50}
    takers = {"a": 4, "b": 3, "old": 3, "c": 2, "rare": 1}
    events = make_events(*((f"u{n}", id_, takes[id_]) for id_ in takes for n in range(takers[id_])))

    def ids(table, **changes):
        shop = askable(events, table, day(AS_OF), TAKEN, options(**changes))
        return shop.vocabulary.decode(shop.candidates).to_list()

    everything = product_table(*takes)
    assert ids(everything) == ["a", "b", "c", "rare"], "old was taken 91 days ago"
    assert ids(everything, recent_days=91) == ["a", "b", "old", "c", "rare"]
    assert ids(product_table("a", "old"), recent_days=91) == ["a", "old"]
    assert ids(everything, recognised=2) == ["a", "b"]
    assert ids(everything, foreseen=3) == ["a", "b"]


def test_only_what_is_taken_counts(two_tastes, day, make_events):
    viewed = make_events(
        *((f"v{user}", id_, 60, c.PRODUCT_VIEW) for user in range(9) for id_ in ("mug1", "lamp1"))
    )
    products, opts = table_of(two_tastes), options(questions=2, choices=2)
    both = pl.concat([two_tastes, viewed])
    with_views = choose_quiz(both, products, day(AS_OF), TAKEN, opts)
    assert (
        with_views.questions == choose_quiz(two_tastes, products, day(AS_OF), TAKEN, opts).questions
    )
    assert with_views.event_type == c.PRODUCT_VIEW


def test_the_future_leaves_no_trace(shop, shop_events, shop_split):
    cut = shop_split.test_start
    later = pl.col(c.TIMESTAMP) >= cut
    changed = shop_events.with_columns(
        pl.when(later).then(pl.col(c.PRODUCT_ID).reverse()).otherwise(c.PRODUCT_ID)
    )
    assert changed.filter(later).height > 1_000
    past = shop_events.filter(~later)
    quizzes = [
        choose_quiz(events, shop.products, cut, TAKEN, OnboardingOptions())
        for events in (shop_events, changed, past)
    ]
    assert len(quizzes[0].product_ids) == 30
    assert quizzes == [quizzes[0]] * 3


def test_the_order_of_the_rows_does_not_matter(shop, shop_events, shop_split):
    shuffled = shop_events.sample(fraction=1, shuffle=True, seed=1)
    mixed = shop.products.sample(fraction=1, shuffle=True, seed=1)
    cut = shop_split.test_start
    quiz = choose_quiz(shop_events, shop.products, cut, TAKEN, OnboardingOptions())
    assert choose_quiz(shuffled, mixed, cut, TAKEN, OnboardingOptions()) == quiz


def test_saved_and_loaded(tmp_path, two_tastes, day):
    quiz = choose_quiz(two_tastes, table_of(two_tastes), day(AS_OF), TAKEN, options())
    assert quiz.questions
    quiz.save(tmp_path / "quiz.json")
    assert Quiz.load(tmp_path / "quiz.json") == quiz
    with pytest.raises(ValidationError, match="frozen"):
        quiz.event_type = c.CLICK


def test_answers_are_events_just_before(day):
    answers = [Liked(["mug1", "gone"]), Liked([]), Liked(["lamp1", "mug1", "gone"])]
    known = Vocabulary.fit(["lamp1", "mug1", "mug2"])
    history, ignored = answers_as_events(answers, day(AS_OF), c.CLICK, known)
    assert history[c.PRODUCT_ID].to_list() == ["mug1", "lamp1"]
    assert history[c.EVENT_TYPE].to_list() == [c.CLICK] * 2
    assert ignored == 1
    before = query(history, day(AS_OF)).age_days
    assert ((before > 0) & (before < 1e-6)).all()


def test_answers_have_the_columns_of_a_history(two_tastes, day):
    lived = build_queries(two_tastes, pl.DataFrame({c.USER_ID: ["l1"], c.AS_OF: [day(AS_OF)]}))
    for answers in ([], [Liked(["a"])]):
        history, _ = answers_as_events(answers, day(AS_OF), c.CLICK, ["a"])
        assert history.schema == lived.history.schema
        assert history.height == len(answers)


@pytest.mark.parametrize(
    ("logged", "event_type"),
    [
        ([c.PURCHASE, c.CLICK, c.PRODUCT_VIEW], c.CLICK),
        ([c.ADD_TO_CART, c.PURCHASE, c.PRODUCT_VIEW], c.PRODUCT_VIEW),
        ([c.ADD_TO_CART, c.PURCHASE], c.ADD_TO_CART),
        ([c.RETURN, c.PURCHASE], c.PURCHASE),
        ([], c.PURCHASE),
    ],
)
def test_a_like_counts_as_what_the_shop_logs(logged, event_type):
    assert answer_event_type(logged) == event_type
