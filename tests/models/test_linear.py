from dataclasses import replace
from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from recsys_kedro import columns as c
from recsys_kedro.models import linear
from recsys_kedro.models.interactions import Decay
from recsys_kedro.models.linear import (
    Linear,
    LinearOptions,
    LinearWeightOptions,
    content_matrix,
    linear_weights,
    steps_of,
)
from recsys_kedro.schemas import UTC_TIME
from recsys_kedro.vocabulary import Vocabulary

PLAIN = LinearWeightOptions(l2=1, content_weight=0, learning_half_life_days=None, prefix_decay=0.5)
LABELS = (c.CATEGORY, c.SUBCATEGORY, c.BRAND, c.NAME)


def table(**labels):
    """Products a to d; ``name=["x", ...]`` and so on give their labels in this order."""
    empty = dict.fromkeys(LABELS, [None] * 4)
    schema = dict.fromkeys((c.PRODUCT_ID, *LABELS), pl.String) | {c.CREATED_AT: UTC_TIME}
    empty[c.CREATED_AT] = [None] * 4
    return pl.DataFrame({c.PRODUCT_ID: list("abcd")} | empty | labels, schema=schema)


@pytest.fixture
def make(make_events):
    """Events of ``(user, product, day)``; the cut is on the 100th day."""

    def events(*rows):
        return make_events(*((user, product, 100 - at) for user, product, at in rows))

    return events


@pytest.fixture
def cut(make_events, make_data):
    return make_data(make_events(("ann", "a", 1))).cut


def weights_of(events, cut, options=PLAIN, products=None):
    vocabulary = Vocabulary.fit("abcd")
    products = table() if products is None else products
    return linear_weights(events, products, vocabulary, cut, options).toarray()


def test_baskets_alone_give_ease(make, cut):
    baskets = make(("ann", "a", 1), ("ann", "b", 1), ("ben", "a", 2))
    # X'X + I = [[3, 1], [1, 2]], its inverse K = [[2, -1], [-1, 3]] / 5, B = -K_ij / K_jj.
    found = weights_of(baskets, cut)
    np.testing.assert_allclose(found[:2, :2], [[0, 1 / 3], [1 / 2, 0]], rtol=1e-5)


def test_steps_by_hand(make):
    events = make(
        ("ann", "a", 1), ("ann", "b", 1), ("ann", "c", 2), ("ann", "a", 5), ("ben", "d", 3),
        ("ann", "c", 2),
    )  # fmt: skip
    (steps,) = steps_of(events, Vocabulary.fit("abcd"), 0.5, None)
    prefixes = [[0, 0, 0, 0], [1, 1, 0, 0], [0.5, 0.5, 1, 0], [0, 0, 0, 0]]
    np.testing.assert_allclose(steps.prefix_SP.toarray(), prefixes)
    taken = [[1, 1, 0, 0], [0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 1]]
    np.testing.assert_allclose(steps.taken_SP.toarray(), taken)
    # In the second step's prefix it is 1, in the third's 0.5, and their squares count.
    np.testing.assert_allclose(steps.onward_S, [1.25, 1, 0, 0])


def test_old_steps_fade(make, cut):
    events = make(("ann", "a", 1), ("ann", "b", 80))
    (steps,) = steps_of(events, Vocabulary.fit("ab"), 0.5, Decay(cut, 10))
    # Half after ten days, so a quarter after twenty.
    both = np.arange(2)
    np.testing.assert_allclose(steps.prefix_and_next(both).toarray(), [[0, 0.25], [0, 0]])
    np.testing.assert_allclose(steps.prefixes_together(both).toarray(), [[0.25, 0], [0, 0]])


@pytest.mark.parametrize("cells", [50, 2**24])
def test_sums_over_all_prefixes(random_taken, cut, monkeypatch, cells):
    monkeypatch.setattr(linear, "CELLS_AT_ONCE", cells)
    monkeypatch.setattr(linear, "LEAST_WEIGHT", 1e-9)
    vocabulary, decay = Vocabulary.fit(random_taken[c.PRODUCT_ID]), Decay(cut, 20)
    rows = random_taken.unique([c.USER_ID, c.TIMESTAMP, c.PRODUCT_ID]).sort(c.TIMESTAMP)
    together, following = np.zeros((2, 8, 8))
    for _, events in rows.group_by(c.USER_ID):
        prefix = np.zeros(8)
        for (time,), step in events.group_by(c.TIMESTAMP, maintain_order=True):
            taken = np.isin(vocabulary.ids, step[c.PRODUCT_ID].to_list()).astype(float)
            weight = 0.5 ** ((cut - time).days / 20)
            together += weight * np.outer(prefix, prefix)
            following += weight * np.outer(prefix, taken)
            prefix = 0.8 * prefix + taken
    pieces = list(steps_of(random_taken, vocabulary, 0.8, decay))
    assert len(pieces) > 3 if cells == 50 else len(pieces) == 1
    found = sum(piece.prefixes_together(np.arange(8)).toarray() for piece in pieces)
    np.testing.assert_allclose(found, together, rtol=1e-4, atol=1e-6)
    found = sum(piece.prefix_and_next(np.arange(8)).toarray() for piece in pieces)
    np.testing.assert_allclose(found, following, rtol=1e-4, atol=1e-6)


def test_steps_too_far_back_are_left_out(make, monkeypatch):
    monkeypatch.setattr(linear, "LEAST_WEIGHT", 0.3)
    events = make(*(("ann", product, at) for at, product in enumerate("abcd")))
    (steps,) = steps_of(events, Vocabulary.fit("abcd"), 0.5, None)
    np.testing.assert_allclose(steps.prefix_SP.toarray()[3], [0, 0.5, 1, 0])
    np.testing.assert_allclose(steps.onward_S, [1.25, 1.25, 1, 0])


def test_nobody_took_a_known_product(make):
    assert not list(steps_of(make(("ann", "b", 1)), Vocabulary.fit("a"), 0.5, None))


@pytest.fixture
def random_taken(make):
    rng = np.random.default_rng(3)
    rows = (rng.integers(0, most, 200).tolist() for most in (20, 8, 40))
    return make(*((f"u{user}", f"p{product}", at) for user, product, at in zip(*rows, strict=True)))


@pytest.mark.parametrize("most", [8, 6])  # of 8 products predict all, or the 5 most taken
def test_weights_are_the_ridge_guess_from_the_other_inputs(random_taken, cut, most):
    vocabulary = Vocabulary.fit(random_taken[c.PRODUCT_ID])
    products = pl.DataFrame(
        {
            c.PRODUCT_ID: vocabulary.ids,
            c.CATEGORY: ["x", "x", "y", "y", "z", "z", "x", "y"],
            c.SUBCATEGORY: [None] * 8,
            c.BRAND: ["one"] * 4 + ["two"] * 4,
            c.NAME: [None] * 8,
            c.CREATED_AT: [None] * 8,
        },
        schema_overrides=dict.fromkeys(LABELS, pl.String) | {c.CREATED_AT: UTC_TIME},
    )
    options = LinearWeightOptions(
        l2=5,
        content_weight=2,
        learning_half_life_days=None,
        prefix_decay=0.8,
        max_products=most,
    )
    found = linear_weights(random_taken, products, vocabulary, cut, options).toarray()
    users = random_taken[c.USER_ID].unique().to_list()
    taken = np.array(
        [
            np.isin(vocabulary.ids, random_taken.filter(pl.col(c.USER_ID) == user)[c.PRODUCT_ID])
            for user in users
        ],
        float,
    )
    (steps,) = steps_of(random_taken, vocabulary, 0.8, None)
    content = 2**0.5 * content_matrix(products, vocabulary, cut).toarray().T
    given = np.concatenate([taken, steps.prefix_SP.toarray(), content])
    wanted = np.concatenate([taken, steps.taken_SP.toarray(), content])
    inputs = np.argsort(-taken.sum(axis=0), kind="stable")[: {8: 8, 6: 5}[most]]
    for product in range(8):
        others = inputs[inputs != product]
        gram = given[:, others].T @ given[:, others] + 5 * np.eye(len(others))
        ridge = np.linalg.solve(gram, given[:, others].T @ wanted[:, product])
        expected = np.zeros(8)
        expected[others] = ridge.clip(min=0)
        np.testing.assert_allclose(found[:, product], expected, atol=1e-4)


@pytest.mark.parametrize(("products", "inputs"), [(0, 0), (10, 10), (40, 5), (10_000, 1)])
def test_more_products_have_fewer_inputs_for_the_same_work(products, inputs):
    assert LinearWeightOptions(max_products=10).inputs(products) == inputs


def test_blocks_of_columns_make_no_difference(random_taken, cut, monkeypatch):
    options = PLAIN.model_copy(update={"max_products": 7})
    vocabulary, products = Vocabulary.fit(random_taken[c.PRODUCT_ID]), table(name=["x"] * 4)
    whole = linear_weights(random_taken, products, vocabulary, cut, options).toarray()
    monkeypatch.setattr(linear, "PRODUCTS_AT_ONCE", 3)
    parts = linear_weights(random_taken, products, vocabulary, cut, options).toarray()
    assert (whole > 0).any(axis=0).all()
    np.testing.assert_allclose(parts, whole, atol=1e-5)


def test_what_follows_is_told_from_what_precedes(make, cut):
    events = [
        (f"u{user}", product, at) for user in range(9) for product, at in (("a", 1), ("b", 2))
    ]
    found = weights_of(make(*events), cut)
    assert found[0, 1] > 1.04 * found[1, 0]


def test_content_joins_what_nobody_took_together(make, cut):
    events = make(("ann", "a", 1), ("ben", "b", 1), ("eve", "c", 1))
    products = table(brand=["one", "one", "two", None])
    assert weights_of(events, cut)[0, 1] == 0
    found = weights_of(events, cut, PLAIN.model_copy(update={"content_weight": 2}), products)
    assert found[0, 1] > 0
    assert found[0, 2] == found[2, 0] == 0


def test_content_of_later_products_is_not_known_yet(make, cut):
    events = make(("ann", "a", 1), ("ben", "b", 1))
    options = PLAIN.model_copy(update={"content_weight": 2})
    later = table(brand=["one"] * 4, created_at=[None, None, cut, cut + timedelta(days=1)])
    expected = weights_of(events, cut, options, table(brand=["one", "one", None, None]))
    np.testing.assert_array_equal(weights_of(events, cut, options, later), expected)


def test_attributes_weigh_less_the_commoner_they_are(cut):
    products = table(brand=["one", "one", "one", "two"], name=["Red hat", "red", None, "a RED"])
    found = content_matrix(products, Vocabulary.fit("abcx"), cut).toarray()
    # The brand of three products, and the word that two of the known ones have.
    by_size = sorted(found.T.tolist(), key=sum)
    expected = [[2**-0.5, 2**-0.5, 0, 0], [3**-0.5] * 3 + [0]]
    np.testing.assert_allclose(by_size, expected, rtol=1e-6)


def test_the_strongest_are_kept_for_each_product(random_taken, cut):
    vocabulary = Vocabulary.fit(random_taken[c.PRODUCT_ID])
    products = table().clear()
    whole, kept = (
        linear_weights(
            random_taken, products, vocabulary, cut, PLAIN.model_copy(update={"kept": most})
        ).toarray()
        for most in (8, 2)
    )
    assert (whole > 0).sum(axis=0).max() > 2
    for column, expected in zip(kept.T, whole.T, strict=True):
        np.testing.assert_array_equal(
            column, np.where(expected >= np.sort(expected)[-2], expected, 0)
        )


def test_scores_are_the_steps_back_times_the_weights(make, make_data, ask):
    events = make(
        ("ann", "a", 1), ("ann", "b", 2), ("ben", "a", 3), ("ben", "b", 4), ("eve", "b", 1),
        ("eve", "c", 9),
    )  # fmt: skip
    options = LinearOptions(weights=PLAIN, query_decay=0.5, own_weight=0)
    model = Linear.fit(replace(make_data(events), products=table()), options, seed=0)
    asked = ask(make(("dan", "b", 1), ("dan", "a", 7), ("dan", "c", 7)), "dan")
    expected = np.array([1, 0.5, 1]) @ model.weights.toarray()
    np.testing.assert_allclose(model.score_catalogue(asked)[0], expected, rtol=1e-5)
