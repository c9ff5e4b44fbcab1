import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from recsys_kedro import columns as c
from recsys_kedro.models.base import TrainingData
from recsys_kedro.models.item_knn import ItemKNN, ItemKNNOptions
from recsys_kedro.models.popularity import RecentPopularity, RecentPopularityOptions
from recsys_kedro.ranking.onboarding import Question, Quiz
from recsys_kedro.ranking.onboarding_evaluation import (
    METRICS,
    NewcomerOptions,
    Newcomers,
    evaluate_answers,
    evaluate_quiz,
    find_newcomers,
    simulate_answers,
)

CUT, END = 100, 120
TAKEN = (c.PURCHASE,)
SECOND, FOURTH = 1 / np.log2(1 + 2), 1 / np.log2(1 + 4)  # NDCG of one hit at that rank
QUIZ = Quiz(event_type=c.CLICK, questions=(Question(id="q1", product_ids=("a", "x")),))
EXACT, NEAR = NewcomerOptions(liked_similarity=None), NewcomerOptions(liked_similarity=0.9)


@pytest.fixture(scope="module")
def past(make_events):
    """Four users take a, b and c; two take x and y."""
    return make_events(
        *((f"a{user}", id_, 90) for user in range(4) for id_ in "abc"),
        *((f"x{user}", id_, 90) for user in range(2) for id_ in "xy"),
    )


@pytest.fixture(scope="module")
def fits(past, day):
    """Item-kNN and recent popularity as of the cut."""
    data = TrainingData(past, pl.DataFrame(), pl.DataFrame(), day(CUT), TAKEN)
    return (
        ItemKNN.fit(data, ItemKNNOptions(), seed=0),
        RecentPopularity.fit(data, RecentPopularityOptions(), seed=0),
    )


def pairs(**products):
    rows = [(user, id_) for user, ids in products.items() for id_ in ids]
    return pl.DataFrame(rows, schema={c.USER_ID: pl.String, c.PRODUCT_ID: pl.String}, orient="row")


def liked(answers):
    return answers.select(c.USER_ID, c.PRODUCT_ID).rows()


def test_newcomers_are_those_without_any_event_before(make_events, day):
    events = make_events(
        *(("known", id_, 110) for id_ in "abcd"), ("known", "a", 99, c.PRODUCT_VIEW),
        *(("new", id_, CUT) for id_ in "abcd"), ("new", "a", 119), ("new", "e", END),
        *(("viewer", id_, 110, c.PRODUCT_VIEW) for id_ in "abcd"),
        *(("few", id_, 110) for id_ in "abc"),
    )  # fmt: skip
    found = find_newcomers(events, day(CUT), day(END), TAKEN, EXACT, seed=0)
    both = pl.concat([found.answering, found.held_out]).sort(c.PRODUCT_ID)
    assert both.rows() == [("new", id_) for id_ in "abcd"]


@pytest.mark.parametrize(
    ("share", "count", "answering"), [(0.5, 5, 2), (0.1, 5, 1), (0.9, 5, 4), (0.5, 2, 1)]
)
def test_both_parts_have_something(make_events, day, share, count, answering):
    options = NewcomerOptions(answering_share=share, least_products=2)
    events = make_events(*((user, f"p{n}", 110) for user in ("ann", "ben") for n in range(count)))
    found = find_newcomers(events, day(CUT), day(END), TAKEN, options, seed=0)
    assert found.answering.group_by(c.USER_ID).len()["len"].to_list() == [answering] * 2
    assert found.held_out.group_by(c.USER_ID).len()["len"].to_list() == [count - answering] * 2
    assert found.answering.join(found.held_out, on=[c.USER_ID, c.PRODUCT_ID]).is_empty()


def test_the_seed_decides_the_split(make_events, day):
    events = make_events(*((f"u{user}", f"p{n}", 110) for user in range(9) for n in range(6)))

    def split(rows, seed):
        return find_newcomers(rows, day(CUT), day(END), TAKEN, EXACT, seed).answering

    shuffled = events.sample(fraction=1, shuffle=True, seed=3)
    assert_frame_equal(split(events, 1), split(shuffled, 1))
    assert not split(events, 1).equals(split(events, 2))


def test_what_is_in_the_answering_part_or_near_it_is_liked(fits, day):
    # cosine(a, b) = 4 / sqrt(4 * 4) = 1, cosine(b, x) = 0.
    newcomers = Newcomers(day(CUT), pairs(ann="b", ben="a", cy=["gone", "x"]), pairs())
    assert liked(simulate_answers(QUIZ, newcomers, fits[0], None)) == [("ben", "a"), ("cy", "x")]
    near = simulate_answers(QUIZ, newcomers, fits[0], 0.9)
    assert liked(near) == [("ann", "a"), ("ben", "a"), ("cy", "x")]
    assert near[c.EVENT_TYPE].unique().to_list() == [c.CLICK]


def test_nobody_likes_what_was_unknown_at_the_cut(fits, day):
    quiz = Quiz(event_type=c.CLICK, questions=(Question(id="q1", product_ids=("gone", "a")),))
    newcomers = Newcomers(day(CUT), pairs(ann=["gone", "y"], ben="a"), pairs())
    assert liked(simulate_answers(quiz, newcomers, fits[0], None)) == [("ben", "a")]


def test_what_is_held_out_does_not_answer(fits, day):
    part = pairs(ann="b", ben="x")
    answers = [
        simulate_answers(QUIZ, Newcomers(day(CUT), part, rest), fits[0], 0.9)
        for rest in (pairs(ann="a", ben="y"), pairs(ann="x", ben="a"))
    ]
    assert_frame_equal(*answers)


def test_lists_with_and_without_answers(fits, day):
    newcomers = Newcomers(day(CUT), pairs(ann="x", ben="a"), pairs(ann="y", ben=["b", "c"]))
    result = evaluate_quiz({"quiz": QUIZ}, newcomers, fits[0], fits[0], fits[1:], EXACT, seed=0)
    # ann likes x: item-kNN has y first, popularity a, b, c, y (x was shown): the fourth.
    # ben likes a: both have b and c first.
    assert result.users == 2
    assert result.liked == {"quiz": 1.0}
    assert result.answered == {"quiz": 1.0}
    assert result.lists["quiz"]["ndcg@10"].value == 1
    popular = result.lists["recent_popularity"]["ndcg@10"].value
    assert popular == pytest.approx((FOURTH + 1) / 2)
    difference = result.differences["quiz"]["recent_popularity"]["ndcg@10"]
    assert difference.value == pytest.approx((1 - FOURTH + 0) / 2)
    assert difference.low == 0
    assert difference.high == pytest.approx(1 - FOURTH)


def test_what_was_liked_is_in_no_list_and_need_not_be_found(fits, day):
    newcomers = Newcomers(day(CUT), pairs(ann="b"), pairs(ann=["a", "c"]))
    result = evaluate_quiz({"quiz": QUIZ}, newcomers, fits[0], fits[0], fits[1:], NEAR, seed=0)
    # ann likes a, which is near b; c is left to be found: second to b in both lists.
    for name in ("quiz", "recent_popularity"):
        assert result.lists[name]["ndcg@10"].value == pytest.approx(SECOND)
        assert result.lists[name]["recall@20"].value == 1


def test_what_any_quiz_shows_counts_for_all(fits, day):
    other = Quiz(event_type=c.CLICK, questions=(Question(id="q1", product_ids=("b",)),))
    newcomers = Newcomers(day(CUT), pairs(ann=["b"]), pairs(ann=["c"]))
    quizzes = {"quiz": QUIZ, "other": other}
    result = evaluate_quiz(quizzes, newcomers, fits[0], fits[0], fits[1:], EXACT, seed=0)
    assert result.liked == {"quiz": 0.0, "other": 1.0}
    # Without b, the list for nobody is a, c.
    assert result.lists["quiz"]["ndcg@10"].value == pytest.approx(SECOND)
    assert set(result.differences["other"]) == {"quiz", "recent_popularity"}


def test_who_likes_nothing_gets_the_popular_list(fits, day):
    newcomers = Newcomers(day(CUT), pairs(ann="c", ben="y"), pairs(ann=["x"], ben=["b", "gone"]))
    result = evaluate_quiz({"quiz": QUIZ}, newcomers, fits[0], fits[0], fits[1:], EXACT, seed=0)
    assert result.answered == {"quiz": 0.0}
    for metric in METRICS:
        figure = result.differences["quiz"]["recent_popularity"][metric]
        assert (figure.value, figure.low, figure.high) == (0, 0, 0)
    assert result.lists["quiz"]["recall@20"].value == (1 / 1 + 1 / 2) / 2


def test_when_nobody_is_new(fits, past, day):
    newcomers = find_newcomers(past, day(CUT), day(END), TAKEN, EXACT, seed=0)
    result = evaluate_quiz({"quiz": QUIZ}, newcomers, fits[0], fits[0], fits[1:], EXACT, seed=0)
    assert result.users == 0
    assert result.lists["quiz"]["ndcg@10"].value is None


def test_a_quiz_without_questions_changes_nothing(fits, day):
    newcomers = Newcomers(day(CUT), pairs(ann="b"), pairs(ann="c"))
    empty = Quiz(event_type=c.CLICK, questions=())
    answers = {"empty": simulate_answers(empty, newcomers, fits[0], 0.9)}
    result = evaluate_answers(answers, newcomers, fits[0], fits[1:], seed=0)
    assert result.differences["empty"]["recent_popularity"]["ndcg@10"].value == 0


def test_baselines_hear_no_answer(fits, day):
    newcomers = Newcomers(day(CUT), pairs(ann="x"), pairs(ann="y"))
    result = evaluate_quiz({"quiz": QUIZ}, newcomers, fits[0], fits[0], fits[:1], EXACT, seed=0)
    assert result.lists["quiz"]["ndcg@10"].value == 1
    assert result.lists["item_knn"]["ndcg@10"].value == pytest.approx(FOURTH)


def test_lists_are_as_long_as_before_something_was_left_out(make_events, day):
    ids = [f"p{number:02}" for number in range(30)]
    events = make_events(
        *((f"u{user}", id_, 90) for n, id_ in enumerate(ids) for user in range(30 - n))
    )
    data = TrainingData(events, pl.DataFrame(), pl.DataFrame(), day(CUT), TAKEN)
    popular = RecentPopularity.fit(data, RecentPopularityOptions(), seed=0)
    taste = ItemKNN.fit(data, ItemKNNOptions(), seed=0)
    newcomers = Newcomers(day(CUT), pairs(ann=ids[:5]), pairs(ann=[ids[24]]))
    quiz = Quiz(event_type=c.CLICK, questions=(Question(id="q1", product_ids=tuple(ids[:5])),))
    result = evaluate_quiz({"quiz": quiz}, newcomers, taste, taste, [popular], EXACT, seed=0)
    assert result.lists["recent_popularity"]["recall@20"].value == 1
