import polars as pl
import pytest

from recsys_kedro import columns as c
from recsys_kedro.experiments import columns as e
from recsys_kedro.experiments.attribution import AttributionOptions
from recsys_kedro.monitoring import columns as m
from recsys_kedro.monitoring.answers import (
    MOST_PARTS,
    answers_of,
    followed,
    most_frequent,
    parts_of,
)
from recsys_kedro.monitoring.windows import Window


@pytest.fixture
def day(hour):
    return Window(hour(0), hour(24))


def products(price):
    return pl.DataFrame({c.PRODUCT_ID: ["p"], c.PRICE: [price]})


def test_what_follows_within_the_window_counts(make_impressions, make_events, day):
    shown = make_impressions({"at": -1}, {"at": 1}, {"at": 23})
    events = make_events({"at": 2}, {"at": 24, c.RECOMMENDATION_ID: "r2"})
    found = followed(shown, events, products(5.0), day, AttributionOptions())
    assert found.select(c.RECOMMENDATION_ID, e.CLICKED).rows() == [("r1", True), ("r2", False)]


def test_a_purchase_without_a_price_has_the_list_price(make_impressions, make_events, day):
    events = make_events(
        {"at": 2, c.EVENT_TYPE: c.PURCHASE, c.QUANTITY: 2.0},
        {"at": 3, c.EVENT_TYPE: c.PURCHASE, c.PRICE: 4.0},
    )
    found = followed(make_impressions({}), events, products(5.0), day, AttributionOptions())
    assert found[e.REVENUE].to_list() == [5.0 * 2 + 4.0]


def test_an_answer_sums_its_products(make_shown):
    of_one = {c.RECOMMENDATION_ID: "r", c.DEVICE_TYPE: "mobile"}
    shown = make_shown(
        {**of_one, c.POSITION: 2, c.SCORE: 0.25, e.CLICKED: True, e.REVENUE: 3.0},
        {**of_one, c.POSITION: 1, c.SCORE: 0.75, e.CLICKED: True, e.PURCHASED: True},
        {c.RECOMMENDATION_ID: "s", "at": 1},
    )
    columns = [c.RECOMMENDATION_ID, e.IMPRESSIONS, e.CLICKS, e.PURCHASED, e.REVENUE, m.SCORE_SPREAD]
    assert answers_of(shown).select(columns).rows() == [
        ("r", 2, 2, True, 3.0, 0.75 - 0.25),
        ("s", 1, 0, False, 0.0, 0.0),
    ]


@pytest.mark.parametrize("odd", [{c.SCORE: float("nan")}, {c.SCORE: None}, {c.FALLBACK: "x"}])
def test_there_is_no_spread_of_what_is_no_score_of_the_model(make_shown, odd):
    first = {c.RECOMMENDATION_ID: "r", **{c.FALLBACK: odd.get(c.FALLBACK)}}
    shown = make_shown(first, {**first, c.POSITION: 2, **odd})
    assert answers_of(shown)[m.SCORE_SPREAD].to_list() == [None]


def test_the_parts(make_shown):
    answers = answers_of(
        make_shown(
            {c.HISTORY_LENGTH: 0, c.DEVICE_TYPE: "mobile"},
            {c.DEVICE_TYPE: "mobile", c.MODEL_VERSION: "2"},
            {},
        )
    )
    assert {part: rows[c.RECOMMENDATION_ID].to_list() for part, rows in parts_of(answers)} == {
        "all": ["r0", "r1", "r2"],
        "history_length=0": ["r0"],
        "history_length=1+": ["r1", "r2"],
        "device_type=mobile": ["r0", "r1"],
        "device_type=unknown": ["r2"],
        "model_version=hybrid/1": ["r0", "r2"],
        "model_version=hybrid/2": ["r1"],
    }


def test_only_the_most_frequent_values_are_parts():
    values = pl.Series("x", [f"v{number:02}" for number in range(20)] + ["v19", None, None, None])
    assert most_frequent(values) == ["v19", *(f"v{n:02}" for n in range(MOST_PARTS - 1))]
