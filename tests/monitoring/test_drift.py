import json

import polars as pl
import pytest

from recsys_kedro import columns as c
from recsys_kedro.features import columns as f
from recsys_kedro.monitoring.answers import answers_of
from recsys_kedro.monitoring.drift import drift_figures, profiles_of, watched_columns
from recsys_kedro.monitoring.stability import Distribution


@pytest.fixture
def watched(make_events, make_shown, make_inputs):
    """The columns of 200 events and 200 answers, with what is given in place of the usual."""

    def watched(price=10.0, device="mobile", history=3, views=5):
        events = make_events(*({c.PRICE: price + number % 10} for number in range(200)))
        shown = make_shown(
            *({c.DEVICE_TYPE: device, c.HISTORY_LENGTH: history} for _ in range(200))
        )
        profile = json.dumps({f.TOTAL_VIEWS: views})
        inputs = make_inputs(*(("r0", 0, [], {c.PROFILE: profile}) for _ in range(200)))
        return watched_columns(events, shown, answers_of(shown), inputs)

    return watched


def figures_of(reference, window):
    usual = {name: Distribution.of(values) for name, values in reference.items()}
    return drift_figures(usual, window)


def test_the_same_has_not_moved(watched):
    figures = figures_of(watched(), watched())
    assert {each.value for each in figures} == {0}
    assert {each.n for each in figures} == {200}


@pytest.mark.parametrize(
    ("different", "moved"),
    [
        ({"price": 20.0}, "events.price"),
        ({"device": "tablet"}, "answers.device_type"),
        ({"history": 30}, "answers.history_length"),
        ({"views": 0}, "profiles.total_views"),
    ],
)
def test_a_planted_drift_is_found_where_it_is_and_nowhere_else(watched, different, moved):
    figures = figures_of(watched(), watched(**different))
    assert [each.slice for each in figures if each.value > 0.25] == [moved]


def test_an_empty_side_is_no_figure(watched):
    values = watched()
    nothing = {name: column.clear() for name, column in values.items()}
    for one, other in ((values, nothing), (nothing, values)):
        assert {(each.value, each.n) for each in figures_of(one, other)} == {(None, 0)}


def test_profiles_have_the_types_of_the_feature_table(make_inputs):
    inputs = make_inputs(
        ("r", 0, [], {c.PROFILE: '{"total_views": 3, "avg_purchase_price": 2, "more": 1}'}),
        ("s", 0, []),
    )
    profiles = profiles_of(inputs)
    assert profiles[f.TOTAL_VIEWS].to_list() == [3, None]
    assert profiles[f.AVG_PURCHASE_PRICE].dtype == pl.Float64
    assert "more" not in profiles.columns
