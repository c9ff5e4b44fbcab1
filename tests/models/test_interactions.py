import numpy as np
import pytest

from recsys_kedro import columns as c
from recsys_kedro.models.interactions import (
    Decay,
    EventWeights,
    history_matrix,
    interaction_matrix,
    most_taken,
    newest_steps,
    ordered_steps,
    product_counts,
)
from recsys_kedro.vocabulary import Vocabulary

PURCHASES = {c.PURCHASE: 1.0}
VOCABULARY = Vocabulary.fit(["a", "b", "c"])
USERS = Vocabulary.fit(["ann", "ben"])


def test_interactions_are_binary_with_one_event_type(make_events):
    events = make_events(("ann", "a", 9), ("ann", "a", 3), ("ben", "c", 1))
    matrix = interaction_matrix(events, USERS, VOCABULARY, PURCHASES)
    np.testing.assert_array_equal(matrix.toarray(), [[1, 0, 0], [0, 0, 1]])


def test_the_strongest_event_between_user_and_product_counts(make_events):
    events = make_events(
        ("ann", "a", 3, c.CLICK), ("ann", "a", 2, c.ADD_TO_CART), ("ann", "a", 1, c.PRODUCT_VIEW),
        ("ben", "b", 2, c.RETURN),
    )  # fmt: skip
    weights = EventWeights(product_view=0.125, click=0.25, add_to_cart=0.5).by_type([c.PURCHASE])
    matrix = interaction_matrix(events, USERS, VOCABULARY, weights)
    np.testing.assert_array_equal(matrix.toarray(), [[0.5, 0, 0], [0, 0, 0]])


def test_an_old_interaction_counts_less(make_events, make_data):
    events = make_events(("ann", "a", 10), ("ann", "b", 30), ("ann", "b", 20))
    decay = Decay(make_data(events).cut, 10)
    matrix = interaction_matrix(events, USERS, VOCABULARY, PURCHASES, decay)
    np.testing.assert_allclose(matrix.toarray(), [[0.5, 0.5**2, 0], [0, 0, 0]])


def test_unknown_users_and_products_are_left_out(make_events):
    events = make_events(("ann", "new", 1), ("new", "a", 1), ("ben", "b", 1))
    matrix = interaction_matrix(events, USERS, VOCABULARY, PURCHASES)
    np.testing.assert_array_equal(matrix.toarray(), [[0, 0, 0], [0, 1, 0]])


def test_history_sums_events_by_their_age(make_events, ask):
    events = make_events(
        ("ann", "a", 20), ("ann", "a", 10), ("ann", "b", 30), ("ann", "unknown", 1),
        ("ann", "c", 5, c.RETURN),
    )  # fmt: skip
    matrix = history_matrix(ask(events, "ann", "nobody"), VOCABULARY, PURCHASES, 10)
    expected = [[0.5**2 + 0.5**1, 0.5**3, 0], [0, 0, 0]]
    np.testing.assert_allclose(matrix.toarray(), expected, rtol=1e-6)


def test_history_without_half_life_counts_events(make_events, ask):
    events = make_events(("ann", "a", 20), ("ann", "a", 10), ("ann", "b", 300))
    matrix = history_matrix(ask(events, "ann"), VOCABULARY, PURCHASES, None)
    np.testing.assert_array_equal(matrix.toarray(), [[2, 1, 0]])


def test_asking_a_half_life_later_halves_the_history(make_events, ask):
    events = make_events(("ann", "a", 20), ("ann", "a", 7), ("ann", "b", 3))
    now, later = (
        history_matrix(ask(events, "ann", days_after=days), VOCABULARY, PURCHASES, 10).toarray()
        for days in (0, 10)
    )
    np.testing.assert_allclose(later, now / 2, rtol=1e-6)


def test_the_order_of_product_counts_does_not_depend_on_the_reference_time(events, make_data):
    data = make_data(events)
    vocabulary = Vocabulary.fit(events[c.PRODUCT_ID])
    at_cut, ten_days_later = (
        product_counts(events, vocabulary, Decay(as_of, 10))
        for as_of in (data.cut, data.cut.replace(day=11))
    )
    np.testing.assert_allclose(ten_days_later / at_cut, 0.5, rtol=1e-6)


def test_product_counts_of_products_without_events_are_zero(make_events):
    events = make_events(("ann", "a", 1), ("ben", "a", 2), ("ben", "unknown", 2))
    np.testing.assert_array_equal(product_counts(events, VOCABULARY), [2, 0, 0])


def test_a_target_event_weighs_one_and_a_return_nothing():
    weights = EventWeights(click=0.25).by_type([c.CLICK])
    assert weights[c.CLICK] == pytest.approx(1)
    assert c.RETURN not in weights


def test_the_most_taken_are_in_order_of_the_columns(make_events):
    events = make_events(("ann", "a", 1), ("ann", "c", 1), ("ben", "c", 1), ("ben", "b", 1))
    matrix = interaction_matrix(events, USERS, VOCABULARY, PURCHASES)
    assert most_taken(matrix, 1).tolist() == [2]
    assert most_taken(matrix, 2).tolist() == [0, 2]  # of equal ones the first
    assert most_taken(matrix, 9).tolist() == [0, 1, 2]


def test_the_newest_steps_of_each_query(make_events, ask):
    events = make_events(
        ("ann", "a", 9), ("ann", "b", 5), ("ann", "c", 5), ("ann", "elsewhere", 4), ("ann", "a", 2),
        ("ann", "b", 1, c.CLICK), ("ben", "b", 7),
    )  # fmt: skip
    queries = ask(events, "ann", "nobody", "ben")
    row, product, step = newest_steps(queries, VOCABULARY, PURCHASES, longest=3)
    assert row.tolist() == [0, 0, 0, 2]
    assert product.tolist() == [1, 2, 0, 1]
    assert step.tolist() == [1, 1, 0, 0]  # b and c in one basket; the unknown is no step
    _, product, step = newest_steps(queries, VOCABULARY, PURCHASES, longest=9)
    assert product.tolist() == [0, 1, 2, 0, 1]
    assert step.tolist() == [2, 1, 1, 0, 0]


def test_steps_in_the_order_of_users_and_times(make_events):
    events = make_events(
        ("ben", "b", 7), ("ann", "c", 5), ("ann", "a", 5), ("ann", "a", 5), ("ann", "a", 9),
        ("ann", "elsewhere", 1),
    )  # fmt: skip
    steps = ordered_steps(events, VOCABULARY)
    assert steps.product_E.tolist() == [0, 0, 2, 1]
    assert steps.step_E.tolist() == [0, 1, 1, 2]
    assert steps.start_S.tolist() == [0, 1, 3, 4]
    assert steps.user_S.tolist() == [0, 0, 1]
    assert (steps.time_S - steps.time_S.min()).dt.total_days().to_list() == [0, 4, 2]
    none = ordered_steps(events.clear(), VOCABULARY)
    assert [len(each) for each in none] == [0, 0, 1, 0, 0]
