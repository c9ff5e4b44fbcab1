from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from scipy import sparse

from recsys_kedro import columns as c
from recsys_kedro import schemas
from recsys_kedro.models.interactions import newest_steps
from recsys_kedro.models.linear import LinearWeightOptions
from recsys_kedro.models.sequence_encoder import SequenceOptions
from recsys_kedro.ranking.scorers import (
    TAKEN,
    VISITED,
    ScorerFactorOptions,
    ScorerOptions,
    Scorers,
    behaviours,
    fit_scorers,
)
from recsys_kedro.ranking.scores import SparseScores
from recsys_kedro.vocabulary import Vocabulary

PRODUCTS = Vocabulary.fit(["a", "b", "c"])
OPTIONS = ScorerOptions(
    popularity_half_lives_days=(10, 20),
    history_half_lives_days=(10, 20),
    linear=LinearWeightOptions(l2=1),
    linear_decays=(0.5, 0.9),
)
TABLE = pl.DataFrame(
    schema={name: column.dtype.type for name, column in schemas.PRODUCTS.columns.items()}
)


SEQUENCE = SequenceOptions(width=4, heads=1, longest=3, negatives=2, batch_size=8, epochs=2)
WITH_SEQUENCE = OPTIONS.model_copy(update={"sequence": SEQUENCE})
WITHOUT_LINEAR = OPTIONS.model_copy(update={"linear": None, "ials": None})


@pytest.fixture
def fit(day):
    def fit(events, options=OPTIONS, at=100, products=PRODUCTS):
        weights = behaviours(events, (c.PURCHASE,), options)
        return fit_scorers(events, TABLE, products, day(at), weights, options)

    return fit


def test_visits_are_read_where_there_are_any(make_events):
    bought = make_events(("ann", "a", 1), ("ann", "a", 2, c.RETURN))
    assert behaviours(bought, (c.PURCHASE,), OPTIONS) == {TAKEN: {c.PURCHASE: 1.0}}
    seen = make_events(("ann", "a", 1), ("ann", "a", 2, c.CLICK))
    weights = behaviours(seen, (c.PURCHASE,), OPTIONS)
    assert weights[TAKEN] == {c.PURCHASE: 1.0}
    assert weights[VISITED] == {c.PRODUCT_VIEW: 0.1, c.CLICK: 0.2, c.ADD_TO_CART: 0.5}


def test_popularity_forgets_by_half_lives(make_events, fit):
    scorers = fit(make_events(("ann", "a", 80), ("ben", "a", 90), ("ann", "b", 90, c.CLICK)))
    expected = [[0.5**2 + 0.5**1, 0.5**1 + 0.5**0.5], [0, 0], [0, 0]]
    np.testing.assert_allclose(scorers.popularity, expected, rtol=1e-6)


def test_repeats_are_counted_over_sessions(make_events, fit):
    events = make_events(
        ("ann", "a", 80), ("ann", "a", 90), ("ben", "a", 90), ("ben", "b", 90), ("ben", "b", 90),
    )  # fmt: skip
    scorers = fit(events)
    np.testing.assert_allclose(scorers.users, [2, 1, 0])
    expected = [(1 + 1) / (2 + 5), (0 + 1) / (1 + 5), (0 + 1) / (0 + 5)]
    np.testing.assert_allclose(scorers.repeat_rate, expected, rtol=1e-6)


def test_neighbours_are_cosines(make_events, fit):
    events = make_events(("ann", "a", 80), ("ann", "b", 80), ("ben", "b", 90))
    expected = [[0, 1 / 2**0.5, 0], [1 / 2**0.5, 0, 0], [0, 0, 0]]
    np.testing.assert_allclose(fit(events).neighbours[TAKEN].toarray(), expected, rtol=1e-6)


def dense(scores, queries):
    """(Q, P) of any kind of scores."""
    query, product = np.indices((len(queries), len(PRODUCTS))).reshape(2, -1)
    return scores.at(query, product).reshape(len(queries), -1)


def test_scores_of_the_catalogue(make_events, fit, ask):
    events = make_events(("ann", "a", 80), ("ann", "b", 80), ("ben", "b", 90))
    scorers = fit(events)
    queries = ask(events, "ben", "nobody")
    found = scorers.catalogue_scores(queries, PRODUCTS)
    scores = {name: dense(each, queries) for name, each in found.items()}
    np.testing.assert_allclose(scores["own_taken_short"], [[0, 0.5, 0], [0, 0, 0]], rtol=1e-6)
    np.testing.assert_allclose(scores["own_taken_long"], [[0, 0.5**0.5, 0], [0, 0, 0]], rtol=1e-6)
    near = [[0.5 / 2**0.5, 0, 0], [0, 0, 0]]
    np.testing.assert_allclose(scores["neighbours_taken_short"], near, rtol=1e-6)
    assert scorers.linear is not None
    weights = scorers.linear.toarray()
    np.testing.assert_allclose(scores["linear_taken_short"][0], weights[1], rtol=1e-6)
    twice = make_events(("dan", "b", 80), ("dan", "a", 90))
    scores = scorers.catalogue_scores(ask(twice, "dan"), PRODUCTS)
    for memory, decay in (("short", 0.5), ("long", 0.9)):
        found = scores[f"linear_taken_{memory}"].dense[0]
        np.testing.assert_allclose(found, weights[0] + decay * weights[1], rtol=1e-6)


def test_the_linear_model_can_be_left_out(make_events, fit, ask):
    events = make_events(("ann", "a", 80), ("ann", "b", 80))
    scorers = fit(events, WITHOUT_LINEAR)
    assert scorers.linear is None
    assert not any(
        "linear" in name for name in scorers.catalogue_scores(ask(events, "ann"), PRODUCTS)
    )


def test_only_the_past_is_seen(random_events, fit, day):
    past = random_events.filter(random_events[c.TIMESTAMP] < day(50))
    assert past.height < random_events.height
    products = Vocabulary.fit(random_events[c.PRODUCT_ID])
    seen, all_ = (
        fit(events, WITH_SEQUENCE, at=50, products=products) for events in (past, random_events)
    )
    assert seen.users.sum() > 0
    for name in ("popularity", "repeat_rate", "users"):
        np.testing.assert_array_equal(getattr(seen, name), getattr(all_, name))
    assert seen.linear is not None
    assert seen.linear.nnz > 0
    assert (seen.linear != all_.linear).nnz == 0
    assert seen.sequence is not None
    for name, array in seen.sequence.arrays().items():
        np.testing.assert_array_equal(array, all_.sequence.arrays()[name])
    for behaviour in (TAKEN, VISITED):
        assert (seen.neighbours[behaviour] != all_.neighbours[behaviour]).nnz == 0


@pytest.mark.parametrize("options", [OPTIONS, WITHOUT_LINEAR, WITH_SEQUENCE])
def test_save_and_load(make_events, fit, ask, tmp_path, options):
    events = make_events(("ann", "a", 80), ("ann", "b", 80), ("ben", "b", 90, c.CLICK))
    scorers = fit(events, options)
    scorers.save(tmp_path / "scorers.safetensors")
    loaded = Scorers.load(tmp_path / "scorers.safetensors")
    arrays = ("linear", "ials", "sequence", "popularity", "repeat_rate", "users", "season")
    without = {"neighbours": {}} | dict.fromkeys(arrays)
    assert replace(scorers, **without) == replace(loaded, **without)
    assert (loaded.linear is None) == (options is WITHOUT_LINEAR)
    assert (loaded.ials is None) == (options is WITHOUT_LINEAR)
    assert (loaded.sequence is None) == (options is not WITH_SEQUENCE)
    queries = ask(events, "ann", "ben")
    expected = scorers.catalogue_scores(queries, PRODUCTS)
    scores = loaded.catalogue_scores(queries, PRODUCTS)
    assert scores.keys() == expected.keys()
    for name in scores:
        mine, other = dense(scores[name], queries), dense(expected[name], queries)
        np.testing.assert_array_equal(mine, other)


def test_the_sequence_encoder_scores_what_was_taken(make_events, fit, ask):
    events = make_events(("ann", "a", 80), ("ann", "b", 85), ("ben", "b", 90, c.CLICK))
    scorers = fit(events, WITH_SEQUENCE)
    queries = ask(events, "ann", "ben")
    found = scorers.catalogue_scores(queries, PRODUCTS)["sequence_taken"]
    past = newest_steps(queries, PRODUCTS, {c.PURCHASE: 1.0}, 3)
    assert past.product_E.tolist() == [0, 1]  # the click was no purchase
    np.testing.assert_array_equal(found.dense, scorers.sequence.lifts(past, 2))
    assert not any("sequence" in name for name in fit(events).catalogue_scores(queries, PRODUCTS))


def test_the_factorisation_reads_events_of_all_types(make_events, fit, ask):
    events = make_events(
        ("ann", "a", 80), ("ann", "b", 85, c.CLICK), ("ben", "a", 80), ("eve", "c", 90)
    )  # fmt: skip
    scorers = fit(events)
    queries = ask(make_events(("dan", "a", 95, c.CLICK)), "dan", "nobody")
    found = scorers.catalogue_scores(queries, PRODUCTS)
    weight = 0.2 * 0.5 ** (5 / np.array([10, 20]))  # a click, five days ago, in both memories
    for memory, history in zip(("short", "long"), weight, strict=True):
        past = sparse.csr_matrix(np.array([[history, 0, 0], [0, 0, 0]], np.float32))
        np.testing.assert_allclose(
            dense(found[f"ials_{memory}"], queries), scorers.ials.scores(past), rtol=1e-4, atol=1e-7
        )
    long = dense(found["ials_long"], queries)
    assert long[0, 1] > long[0, 2]
    assert not long[1].any()


def test_few_queries_and_many_have_the_same_scores(random_events, fit, ask):
    products = Vocabulary.fit(random_events[c.PRODUCT_ID])
    scorers = fit(random_events, WITH_SEQUENCE, products=products)
    users = [*(f"u{number}" for number in range(20)), "nobody"]
    many = scorers.catalogue_scores(ask(random_events, *users), products)
    everywhere = np.arange(len(products))
    for number, user in enumerate(users):
        few = scorers.catalogue_scores(ask(random_events, user), products)
        assert few.keys() == many.keys()
        for name, scores in few.items():
            mine, same = (
                each.at(np.full(len(products), row), everywhere)
                for each, row in ((scores, 0), (many[name], number))
            )
            np.testing.assert_allclose(mine, same, rtol=1e-4, atol=1e-6)
            highest = max(mine.max(), 0) if isinstance(scores, SparseScores) else mine.max()
            np.testing.assert_allclose(scores.best[0], highest, atol=1e-6)
            np.testing.assert_allclose(many[name].best[number], highest, atol=1e-6)
            product, value = scores.highest(0, 7)
            order = np.sort(mine[mine != 0])[::-1][:7]
            np.testing.assert_allclose(np.sort(value)[::-1][: len(order)], order, atol=1e-6)
            np.testing.assert_allclose(value, mine[product], atol=1e-6)


def test_of_many_users_a_sample_is_factorised(make_events, fit):
    rows = [(f"u{number}", "ab"[number % 2], 80) for number in range(9)]
    few, all_ = (
        fit(
            make_events(*rows), OPTIONS.model_copy(update={"ials": ScorerFactorOptions(users=most)})
        )
        for most in (3, 9)
    )
    first = make_events(*(rows[number] for number in (0, 4, 8)))
    alone = fit(first)
    np.testing.assert_array_equal(few.ials.product_factors, alone.ials.product_factors)
    assert (few.ials.product_factors != all_.ials.product_factors).any()


def test_no_past_at_all(make_events, fit, ask):
    events = make_events(("ann", "a", 110))
    queries = ask(events, "ann")
    found = fit(events, WITH_SEQUENCE).catalogue_scores(queries, PRODUCTS)
    assert all(np.isfinite(dense(each, queries)).all() for each in found.values())
    assert not dense(found["ials_long"], queries).any()
