import polars as pl
import pytest

from recsys_kedro import columns as c
from recsys_kedro.experiments import columns as e
from recsys_kedro.experiments.attribution import AttributionOptions, attribute
from recsys_kedro.experiments.exposures import exposed_units
from recsys_kedro.experiments.unit_totals import (
    TotalsOptions,
    daily_totals,
    position_totals,
    unit_totals,
)


@pytest.fixture
def total(scope):
    """The totals of a log; of one user as a dict, with what is not 0."""

    def totals(impressions, events, user=None, by_day=False, **options):
        shown = attribute(impressions, events, AttributionOptions())
        make = daily_totals if by_day else unit_totals
        units = exposed_units(shown, scope)
        table = make(units, shown, events, scope, TotalsOptions(**options)).collect()
        if user is None:
            return table
        counted = pl.selectors.by_name(
            *[n for n in table.columns if n.removeprefix(e.PRE) in e.TOTALS]
        )
        row = table.filter(pl.col(c.USER_ID) == user).select(counted).row(0, named=True)
        return {name: value for name, value in row.items() if value != 0}

    return totals


def test_impressions_and_answers(make_impressions, make_events, total):
    shown = make_impressions(
        {c.LATENCY_MS: 30.0},
        {c.LATENCY_MS: 30.0, c.POSITION: 2, c.PRODUCT_ID: "q"},
        {c.RECOMMENDATION_ID: "r2", "at": 1, c.LATENCY_MS: 120.0, c.FALLBACK: "model_failed"},
        {c.RECOMMENDATION_ID: "r3", "at": 2, c.LATENCY_MS: 50.0, c.FALLBACK: "unknown_user"},
    )
    events = make_events({"at": 0.5}, {"at": 1.5}, {"at": 1.6})
    found = total(shown, events, "ann", slow_ms=100)
    expected = {
        e.IMPRESSIONS: 4,
        e.CLICKS: 2,
        e.ANSWERS: 3,
        e.LATENCY: 30 + 120 + 50,
        e.SLOW_ANSWERS: 1,
        e.FALLBACK_ANSWERS: 2,
        e.FAILED_ANSWERS: 1,
        e.SESSIONS: 1,
        e.SESSION_MINUTES: 2 * 60,
    }
    assert found == pytest.approx(expected)


def test_sessions_orders_and_carts(make_impressions, make_events, total):
    shown = make_impressions({}, {c.RECOMMENDATION_ID: "r4", "at": 80, c.SESSION_ID: "only asked"})
    bought = {c.EVENT_TYPE: c.PURCHASE, c.PRICE: 10.0}
    other = {c.PRODUCT_ID: "not shown"}
    events = make_events(
        {"at": 0.1, c.EVENT_TYPE: c.PRODUCT_VIEW, **other},
        {"at": 0.2, c.EVENT_TYPE: c.ADD_TO_CART, **other},
        {"at": 0.3, **bought, c.QUANTITY: 3.0},
        {"at": 0.4, **bought, **other},
        {"at": 30, c.SESSION_ID: "left", c.EVENT_TYPE: c.ADD_TO_CART, **other},
        {"at": 31, c.SESSION_ID: "left", c.EVENT_TYPE: c.PRODUCT_VIEW, **other},
        {"at": 60, c.SESSION_ID: "back", c.EVENT_TYPE: c.RETURN, c.PRICE: 10.0},
    )
    expected = {
        e.IMPRESSIONS: 2,
        e.ANSWERS: 2,
        e.LATENCY: 2 * 10,
        e.RECOMMENDED_REVENUE: 3 * 10,
        e.REVENUE: 3 * 10 + 10,
        e.PURCHASES: 2,
        e.ORDERS: 1,
        e.BUYERS: 1,
        e.SESSIONS: 4,
        e.SESSION_MINUTES: 0.4 * 60 + 60,
        e.PAGES: 2,
        e.CART_SESSIONS: 2,
        e.ABANDONED_SESSIONS: 1,
        e.RETURNS: 1,
    }
    assert total(shown, events, "ann") == pytest.approx(expected)


def test_only_what_came_after_the_first_exposure_counts(make_impressions, make_events, total):
    shown = make_impressions({"at": 5})
    events = make_events(
        {"at": 4.9, c.EVENT_TYPE: c.PURCHASE, c.PRICE: 1.0, c.PRODUCT_ID: "x"},
        {"at": 5, c.EVENT_TYPE: c.PURCHASE, c.PRICE: 10.0, c.PRODUCT_ID: "x"},
        {"at": 239.9, c.EVENT_TYPE: c.PURCHASE, c.PRICE: 100.0, c.PRODUCT_ID: "x"},
        {"at": 240, c.EVENT_TYPE: c.PURCHASE, c.PRICE: 1_000.0, c.PRODUCT_ID: "x"},
    )
    assert total(shown, events, "ann")[e.REVENUE] == 10 + 100


def test_the_past_is_what_was_before_the_experiment(make_impressions, make_events, total):
    shown = make_impressions(
        {"at": -1, c.EXPERIMENT: None, c.VARIANT: None, c.RECOMMENDATION_ID: "before"}, {"at": 5}
    )
    bought = {c.EVENT_TYPE: c.PURCHASE, c.PRODUCT_ID: "x"}
    events = make_events(
        {"at": -48.1, **bought, c.PRICE: 1.0},
        {"at": -48, **bought, c.PRICE: 10.0},
        {"at": -0.1, **bought, c.PRICE: 100.0},
        {"at": 0, **bought, c.PRICE: 1_000.0},
    )
    found = total(shown, events, "ann", pre_days=2)
    assert found[f"{e.PRE}{e.REVENUE}"] == 10 + 100
    assert found[f"{e.PRE}{e.BUYERS}"] == 1
    assert found[f"{e.PRE}{e.IMPRESSIONS}"] == 1
    assert e.REVENUE not in found


def test_a_unit_that_did_nothing_has_its_row(make_impressions, make_events, total):
    shown = make_impressions({c.SESSION_ID: None}, {c.USER_ID: "ben", c.VARIANT: "new"})
    found = total(shown, make_events({c.USER_ID: "stranger"})).sort(c.USER_ID)
    assert found.select(
        c.USER_ID, c.VARIANT, e.REVENUE, e.SESSIONS, f"{e.PRE}{e.REVENUE}"
    ).rows() == [
        ("ann", "old", 0, 0, 0),
        ("ben", "new", 0, 1, 0),
    ]


def test_segments_are_kept(make_impressions, make_events, scope):
    shown = attribute(make_impressions({}), make_events(), AttributionOptions())
    units = exposed_units(shown, scope).with_columns(segment=pl.lit("loyal"))
    found = unit_totals(units, shown, make_events(), scope, TotalsOptions()).collect()
    assert found["segment"].to_list() == ["loyal"]


def test_days(make_impressions, make_events, total):
    shown = make_impressions({"at": 20}, {"at": 50, c.RECOMMENDATION_ID: "r2", c.SESSION_ID: "s2"})
    bought = {c.EVENT_TYPE: c.PURCHASE, c.PRODUCT_ID: "x"}
    events = make_events(
        {"at": 21, **bought, c.PRICE: 5.0},
        {"at": 25, **bought, c.PRICE: 7.0},  # past midnight, in the session of the evening
        {"at": 100, **bought, c.PRICE: 9.0, c.SESSION_ID: "s3"},
    )
    found = total(shown, events, by_day=True).sort(e.DAY)
    columns = [e.DAY, e.IMPRESSIONS, e.SESSIONS, e.REVENUE, e.BUYERS]
    assert found.select(columns).rows() == [(0, 1, 1, 5 + 7, 1), (2, 1, 1, 0, 0), (4, 0, 1, 9, 1)]


def test_days_add_up_to_the_whole(make_impressions, make_events, total):
    shown = make_impressions(
        *(
            {"at": at, c.RECOMMENDATION_ID: f"r{at}", c.SESSION_ID: f"s{at}"}
            for at in range(0, 200, 9)
        )
    )
    events = make_events(
        *(
            {"at": at + 1, c.SESSION_ID: f"s{at}", c.EVENT_TYPE: kind, c.PRICE: 3.0}
            for at in range(0, 200, 9)
            for kind in (c.CLICK, c.PURCHASE)
        )
    )
    names = sorted(e.TOTALS - {e.BUYERS})
    whole = total(shown, events).select(names).row(0)
    assert total(shown, events, by_day=True).select(names).sum().row(0) == pytest.approx(whole)


def test_positions(make_impressions, make_events, scope):
    shown = make_impressions(
        {},
        {c.POSITION: 2, c.PRODUCT_ID: "q"},
        {c.POSITION: 2, c.PRODUCT_ID: "p", c.RECOMMENDATION_ID: "r2", "at": 1},
    )
    shown = attribute(shown, make_events({"at": 2}), AttributionOptions())
    found = position_totals(exposed_units(shown, scope), shown, scope).sort(c.POSITION).collect()
    columns = [c.USER_ID, c.VARIANT, c.POSITION, e.IMPRESSIONS, e.CLICKS]
    assert found.select(columns).rows() == [("ann", "old", 1, 1, 0), ("ann", "old", 2, 2, 1)]


def test_the_totals_are_those_that_have_a_name(make_impressions, make_events, total):
    found = set(total(make_impressions({}), make_events()).columns)
    assert {name for name in found if name in e.TOTALS} == e.TOTALS
    assert {name for name in found if name.startswith(e.PRE)} == {e.PRE + n for n in e.TOTALS}
