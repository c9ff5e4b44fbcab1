import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from recsys_kedro import columns as c
from recsys_kedro.experiments import columns as e
from recsys_kedro.experiments.attribution import AttributionOptions, attribute, attributed_answers

RULES = ("window", "last_touch", "same_session")
FOLLOWED = (e.CLICKED, e.CARTED, e.PURCHASED, e.REVENUE)


def options(rule="last_touch", window_hours=24):
    return AttributionOptions(rule=rule, window_hours=window_hours)


def clicked(impressions, events, **chosen):
    """The answers of the clicked impressions."""
    found = attribute(impressions, events, options(**chosen)).collect()
    return sorted(found.filter(e.CLICKED)[c.RECOMMENDATION_ID])


@pytest.fixture
def twice(make_impressions):
    """The product shown at noon and in the evening, in two sessions."""
    return make_impressions(
        {c.RECOMMENDATION_ID: "noon", "at": 12, c.SESSION_ID: "s1"},
        {c.RECOMMENDATION_ID: "evening", "at": 18, c.SESSION_ID: "s2"},
    )


@pytest.mark.parametrize(
    ("rule", "credited"),
    [
        ("window", ["evening", "noon"]),
        ("last_touch", ["evening"]),
        ("same_session", ["noon"]),
    ],
)
def test_the_rules(twice, make_events, rule, credited):
    assert clicked(twice, make_events({"at": 19, c.SESSION_ID: "s1"}), rule=rule) == credited


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("at", "found"), [(11.9, []), (12, ["noon"]), (36, ["noon"]), (36.1, [])])
def test_an_event_counts_from_the_impression_to_the_end_of_the_window(
    make_impressions, make_events, rule, at, found
):
    shown = make_impressions({c.RECOMMENDATION_ID: "noon", "at": 12})
    assert clicked(shown, make_events({"at": at}), rule=rule) == found


@pytest.mark.parametrize("rule", RULES)
def test_the_id_of_the_answer_is_believed_before_any_rule(twice, make_events, rule):
    late = make_events({"at": 99, c.RECOMMENDATION_ID: "noon", c.SESSION_ID: "s3"})
    assert clicked(twice, late, rule=rule) == ["noon"]
    unknown = make_events({"at": 19, c.RECOMMENDATION_ID: "lost"})
    assert clicked(twice, unknown, rule=rule) == []


@pytest.mark.parametrize("rule", RULES)
def test_others_and_other_products_have_no_part(make_impressions, make_events, rule):
    shown = make_impressions({})
    events = make_events(
        {c.USER_ID: "ben"}, {c.PRODUCT_ID: "q"}, {c.PRODUCT_ID: "q", c.RECOMMENDATION_ID: "r"}
    )
    assert clicked(shown, events, rule=rule) == []


def test_without_sessions_nothing_is_of_the_same_session(make_impressions, make_events):
    shown = make_impressions({c.SESSION_ID: None})
    assert clicked(shown, make_events({"at": 1}), rule="same_session") == []


def test_what_followed(make_impressions, make_events):
    shown = make_impressions({}, {c.POSITION: 2, c.PRODUCT_ID: "q"})
    events = make_events(
        {"at": 1, c.EVENT_TYPE: c.PURCHASE, c.PRICE: 5.0, c.QUANTITY: 2.0},
        {"at": 2, c.EVENT_TYPE: c.PURCHASE, c.PRICE: 7.0},
        {"at": 3, c.EVENT_TYPE: c.PURCHASE, c.PRICE: None},
        {"at": 3, c.EVENT_TYPE: c.RETURN, c.PRICE: 7.0},
        {"at": 1, c.EVENT_TYPE: c.ADD_TO_CART, c.PRODUCT_ID: "q", c.PRICE: 9.0},
        {"at": 1, c.EVENT_TYPE: c.PRODUCT_VIEW, c.PRODUCT_ID: "q"},
    )
    found = attribute(shown, events, options()).collect()
    assert found.height == 2
    assert found.sort(c.POSITION).select(FOLLOWED).rows() == [
        (False, False, True, 5.0 * 2 + 7.0),
        (False, True, False, 0.0),
    ]
    answers = attributed_answers(found.lazy()).select(FOLLOWED).collect()
    assert answers.rows() == [(False, True, True, 17.0)]


def test_nothing_happened(make_impressions, make_events):
    found = attribute(make_impressions({}), make_events(), options()).collect()
    assert found.select(FOLLOWED).rows() == [(False, False, False, 0.0)]


rows = st.lists(
    st.fixed_dictionaries(
        {
            "at": st.integers(0, 6),
            c.USER_ID: st.sampled_from("ab"),
            c.PRODUCT_ID: st.sampled_from("pq"),
            c.SESSION_ID: st.sampled_from(["s", "t", None]),
        }
    ),
    max_size=8,
)


@given(shown=rows, done=rows, rule=st.sampled_from(RULES))
def test_it_is_what_a_loop_over_all_pairs_finds(make_impressions, make_events, shown, done, rule):
    shown = [{**row, c.RECOMMENDATION_ID: f"r{number}"} for number, row in enumerate(shown)]
    # Same times are broken by the id of the answer.
    expected = set()
    for event in done:
        before = [
            row
            for row in shown
            if row[c.USER_ID] == event[c.USER_ID]
            and row[c.PRODUCT_ID] == event[c.PRODUCT_ID]
            and 0 <= event["at"] - row["at"] <= 3
        ]
        if rule == "same_session":
            session = event[c.SESSION_ID]
            before = [row for row in before if session and row[c.SESSION_ID] == session]
        if rule != "window":
            before = sorted(before, key=lambda row: (row["at"], row[c.RECOMMENDATION_ID]))[-1:]
        expected |= {row[c.RECOMMENDATION_ID] for row in before}
    done = [{**row, c.SESSION_ID: row[c.SESSION_ID] or "none"} for row in done]
    found = clicked(make_impressions(*shown), make_events(*done), rule=rule, window_hours=3)
    assert found == sorted(expected)


def test_the_order_of_the_rows_does_not_matter(make_impressions, make_events):
    shown = [{c.RECOMMENDATION_ID: f"r{number}", "at": number % 3} for number in range(6)]
    events = [{"at": at} for at in (0, 2, 1)]
    one = attribute(make_impressions(*shown), make_events(*events), options())
    other = attribute(make_impressions(*shown[::-1]), make_events(*events[::-1]), options())
    assert_frame_equal(
        one.sort(c.RECOMMENDATION_ID).collect(), other.sort(c.RECOMMENDATION_ID).collect()
    )
    assert one.select(pl.col(e.CLICKED).sum()).collect().item() == 3
