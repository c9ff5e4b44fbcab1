import json

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys_kedro import columns as c
from recsys_kedro.features import columns as f
from recsys_kedro.features.schemas import USER_FEATURES
from recsys_kedro.monitoring import columns as m
from recsys_kedro.monitoring import skew
from recsys_kedro.monitoring.skew import (
    compared_histories,
    compared_profiles,
    history_figures,
    profile_figures,
    worst_examples,
)

PAST = [("p", c.CLICK, 1, 5.0), ("q", c.CLICK, 2, 6.0), ("p", c.PURCHASE, 3, 5.0)]


@pytest.fixture(scope="module")
def events(make_events):
    """Three events of ann, one after the answers at hour 10, and one of another user."""
    return make_events(
        *(
            {c.PRODUCT_ID: product, c.EVENT_TYPE: kind, "at": at, c.PRICE: price}
            for product, kind, at, price in [*PAST, ("late", c.CLICK, 10, 1.0)]
        ),
        {c.USER_ID: "ben", "at": 2},
    )


@pytest.fixture
def differences(make_inputs, events, hour):
    """The (difference, product) of an answer with this history, other than ``same``."""

    def differences(history, model_data=10, **columns):
        inputs = make_inputs(("r", 10, history, columns))
        compared = compared_histories(inputs, events, hour(model_data))
        wrong = compared.filter(pl.col(m.DIFFERENCE) != "same")
        return sorted(wrong.select(m.DIFFERENCE, c.PRODUCT_ID).rows())

    return differences


def test_what_the_tables_say_is_no_difference(differences):
    assert differences(PAST) == []


def test_an_event_in_the_middle_is_missing(differences):
    assert differences([PAST[0], PAST[2]]) == [("missing", "q")]


def test_the_newest_events_are_late(differences):
    assert differences(PAST[:1]) == [("late", "p"), ("late", "q")]


def test_a_line_of_the_newest_order_is_missing_not_late(make_inputs, make_events, hour):
    events = make_events({c.PRODUCT_ID: "p"}, {c.PRODUCT_ID: "q"})
    inputs = make_inputs(("r", 10, [("p", c.CLICK, 0, None)]))
    compared = compared_histories(inputs, events, hour(-1))
    kinds = compared.select(c.PRODUCT_ID, m.DIFFERENCE).sort(c.PRODUCT_ID).rows()
    assert kinds == [("p", "same"), ("q", "missing")]


def test_nothing_seen_is_late_only_after_the_model(differences):
    assert differences([], model_data=3) == [("late", "p"), ("missing", "p"), ("missing", "q")]


@pytest.mark.parametrize("price", [5.1, None])
def test_another_price(differences, price):
    assert differences([("p", c.CLICK, 1, price), *PAST[1:]]) == [("price", "p")]


def test_a_price_may_differ_in_its_last_bits(differences):
    assert differences([("p", c.CLICK, 1, 5.0 * (1 + 1e-9)), *PAST[1:]]) == []


def test_what_no_table_has_is_unexpected(differences):
    strange = [*PAST, ("x", c.CLICK, 4, 1.0)]
    assert differences(strange) == [("unexpected", "x")]
    assert differences(strange, **{c.SENT: 1}) == []
    assert differences([("w", c.CLICK, 0, 1.0), *strange], **{c.SENT: 1}) == [("unexpected", "w")]


def test_an_event_that_is_seen_twice_is_unexpected_once(differences):
    assert differences([*PAST, PAST[-1]]) == [("unexpected", "p")]


def test_what_came_with_the_request_is_in_the_table_at_another_time(differences):
    """The click on q was sent; it was recorded at hour 2."""
    sent = [PAST[0], PAST[2], ("q", c.CLICK, 9, None)]
    assert differences(sent, **{c.SENT: 1}) == []
    assert differences(sent) == [("missing", "q"), ("unexpected", "q")]


def test_the_future_is_not_expected(differences):
    assert differences([*PAST, ("late", c.CLICK, 10, 1.0)]) == [("unexpected", "late")]


def test_what_the_store_drops_is_not_missing_and_what_it_keeps_is_not_unexpected(
    differences, monkeypatch
):
    monkeypatch.setattr(skew, "MOST_STORED_EVENTS", 2)
    assert differences(PAST[1:]) == []
    assert differences(PAST) == []
    assert differences([PAST[2]]) == [("missing", "q")]


def test_history_figures(make_inputs, events, hour, by_name):
    inputs = make_inputs(
        ("r", 10, PAST),
        ("s", 10, [PAST[0], ("p", c.PURCHASE, 3, 9.0)], {c.USER_ID: "ann"}),
        ("t", 10, [("x", c.CLICK, 1, 1.0)], {c.USER_ID: "nobody"}),
    )
    compared = compared_histories(inputs, events, hour(10))
    figures = by_name(history_figures(inputs, compared))
    values = {name: (figure.value, figure.n) for (name, _), figure in figures.items()}
    assert values == {
        "matching_history_share": (1 / 3, 3),
        "missing_event_share": (1 / 6, 6),
        "late_event_share": (0, 6),
        "unexpected_event_share": (1 / 6, 6),
        "price_difference_share": (1 / 5, 5),
    }
    first = history_figures(inputs.head(1), compared)
    assert [each.value for each in first] == [1, 0, 0, 0, 0]
    assert all(each.value is None for each in history_figures(inputs.clear(), compared))


@given(kept=st.lists(st.sampled_from(PAST), unique=True))
def test_every_event_is_counted_once(make_inputs, events, hour, kept):
    inputs = make_inputs(("r", 10, sorted(kept, key=lambda event: event[2])))
    kinds = compared_histories(inputs, events, hour(10))[m.DIFFERENCE].to_list()
    assert kinds.count("same") == len(kept)
    assert len(kinds) == len(PAST)


@pytest.fixture
def features():
    """The table of features of ann."""
    row = dict.fromkeys(USER_FEATURES.columns) | {
        c.USER_ID: "ann",
        f.TOTAL_VIEWS: 3,
        f.AVG_PURCHASE_PRICE: 5.0,
        f.TOP_CATEGORIES[0]: "mugs",
    }
    types = {name: column.dtype.type for name, column in USER_FEATURES.columns.items()}
    return pl.DataFrame([row], schema=types)


def profile(**different):
    known = {f.TOTAL_VIEWS: 3, f.AVG_PURCHASE_PRICE: 5, f.TOP_CATEGORIES[0]: "mugs"}
    return {c.PROFILE: json.dumps(known | different)}


def test_features_are_compared_one_by_one(make_inputs, features, by_name):
    inputs = make_inputs(
        ("r", 10, [], profile()),
        ("s", 10, [], profile(avg_purchase_price=5.000000001)),
        ("t", 10, [], profile(avg_purchase_price=5.1, total_views=3)),
        ("u", 10, [], profile(avg_purchase_price=None, top_category_1="cups")),
        ("v", 10, [], {c.USER_ID: "nobody"}),
    )
    compared = compared_profiles(inputs, features)
    figures = by_name(profile_figures(inputs, compared))
    shares = {part: figure.value for (_, part), figure in figures.items() if figure.value}
    assert shares == {
        "all": 2 / 5,
        "feature=avg_purchase_price": 2 / 5,
        "feature=top_category_1": 1 / 5,
    }


def test_no_answers_have_no_features(make_inputs, features):
    nobody = make_inputs()
    (whole,) = profile_figures(nobody, compared_profiles(nobody, features))
    assert (whole.slice, whole.value, whole.n) == ("all", None, 0)


def test_examples_name_the_answer_the_event_and_the_worst_feature(
    make_inputs, events, features, hour
):
    inputs = make_inputs(
        ("r", 10, [PAST[0], PAST[2]], profile(total_views=4)),
        ("s", 10, [*PAST[:2], ("p", c.PURCHASE, 3, 7.5)], profile(avg_purchase_price=9)),
        ("t", 10, PAST, profile(avg_purchase_price=None)),
    )
    examples = worst_examples(
        compared_histories(inputs, events, hour(10)), compared_profiles(inputs, features)
    )
    missing, price, feature = examples
    assert (missing.figure, missing.recommendation_id) == ("missing_event_share", "r")
    assert missing.what == "click of q at 2025-03-03 02:00:00"
    assert (missing.served, missing.expected) == ("no such event", "price 6.0")
    assert (price.figure, price.recommendation_id) == ("price_difference_share", "s")
    assert (price.served, price.expected) == ("price 7.5", "price 5.0")
    assert (feature.what, feature.recommendation_id) == ("avg_purchase_price", "s")
    assert (feature.served, feature.expected) == ("9.0", "5.0")


def test_without_differences_there_is_no_example(make_inputs, events, features, hour):
    inputs = make_inputs(("r", 10, PAST, profile()))
    compared = compared_histories(inputs, events, hour(10)), compared_profiles(inputs, features)
    assert worst_examples(*compared) == []
