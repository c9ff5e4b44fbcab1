from datetime import timedelta

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from recsys_kedro import columns as c
from recsys_kedro.schemas import EVENTS
from recsys_kedro.simulation.period import period_start
from recsys_kedro.simulation.response import Audience
from recsys_kedro.simulation.response_choice import ResponseOptions

DAYS, POSITIONS = 28, 6
NOTHING = pl.DataFrame(
    schema={
        c.SESSION_ID: pl.String,
        c.POSITION: pl.Int64,
        c.PRODUCT_ID: pl.String,
        c.RECOMMENDATION_ID: pl.String,
    }
)


@pytest.fixture(scope="module")
def since(shop_options):
    return period_start(shop_options) + timedelta(days=shop_options.days - DAYS)


@pytest.fixture(scope="module")
def make_audience(shop, since):
    def make(seed=1, days=DAYS, **options):
        end = since + timedelta(days=days)
        return Audience(shop.tastes, shop.events, since, end, ResponseOptions(**options), seed)

    return make


def turns(visits):
    """The visits in parts, each with one visit a user at most."""
    number = pl.int_range(pl.len()).over(c.USER_ID).alias("number")
    return visits.with_columns(number).partition_by("number", include_key=False)


def lists_for(visits, products):
    """The same list for each visit."""
    places = pl.DataFrame(
        {c.POSITION: range(1, len(products) + 1), c.PRODUCT_ID: pl.Series(products)}
    )
    answer = (pl.col(c.SESSION_ID) + "-answer").alias(c.RECOMMENDATION_ID)
    return visits.select(c.SESSION_ID, answer).join(places, how="cross").select(NOTHING.columns)


def lived(audience, products=()):
    """All visits one after the other; with the list of ``products``, if any."""
    parts = [
        audience.respond(visits, lists_for(visits, products) if len(products) else NOTHING)
        for visits in turns(audience.visits)
    ]
    return pl.concat(parts).sort(c.TIMESTAMP, c.EVENT_ID)


def best_sellers(shop, since, count=POSITIONS):
    bought = shop.events.filter(pl.col(c.EVENT_TYPE) == c.PURCHASE, pl.col(c.TIMESTAMP) < since)
    ranked = bought[c.PRODUCT_ID].value_counts().sort("count", c.PRODUCT_ID, descending=True)
    return ranked[c.PRODUCT_ID].head(count).to_list()


def test_visits_are_those_of_the_shop(shop, make_audience, since):
    visits = make_audience().visits
    key = [c.SESSION_ID, c.USER_ID, c.DEVICE_TYPE]
    begun = shop.events.group_by(key).agg(pl.col(c.TIMESTAMP).min())
    later = visits.join(begun, on=key, suffix="_event")
    assert later.height > 0.99 * visits.height  # what happens after the period is left out
    assert (later[c.TIMESTAMP] < later[f"{c.TIMESTAMP}_event"]).all()
    assert visits[c.TIMESTAMP].min() >= since
    assert visits[c.TIMESTAMP].is_sorted()


def test_visits_end_and_what_follows_them_does_not(make_audience, since):
    week = make_audience(days=7)
    end = since + timedelta(days=7)
    assert_frame_equal(week.visits, make_audience().visits.filter(pl.col(c.TIMESTAMP) < end))
    after = lived(week).filter(pl.col(c.TIMESTAMP) > end + timedelta(hours=2))
    assert after[c.EVENT_TYPE].unique().to_list() == [c.RETURN]


def test_events_keep_the_data_contract(shop, make_audience, since):
    events = lived(make_audience(), best_sellers(shop, since))
    assert events.columns == [*shop.events.columns, c.RECOMMENDATION_ID]
    EVENTS.validate(events.with_row_index(c.SOURCE_ROW).cast({c.SOURCE_ROW: pl.Int64}))
    assert events[c.EVENT_ID].is_unique().all()
    assert not set(events[c.EVENT_ID]) & set(shop.events[c.EVENT_ID])


def test_same_seed_gives_the_same_events_and_another_seed_others(shop, make_audience, since):
    products = best_sellers(shop, since)
    once, again, other = (lived(make_audience(seed=seed), products) for seed in (1, 1, 2))
    assert_frame_equal(once, again)
    assert not once.equals(other)


def test_order_of_the_visits_in_a_call_and_the_size_of_calls_do_not_matter(
    shop, make_audience, since
):
    products = best_sellers(shop, since)
    at_once = lived(make_audience(), products)
    audience, parts = make_audience(), []
    for visits in turns(audience.visits):
        shuffled = visits.sample(fraction=1.0, shuffle=True, seed=5)
        parts += [
            audience.respond(some, lists_for(some, products))
            for some in (shuffled.head(100), shuffled.slice(100))
        ]
    assert_frame_equal(pl.concat(parts).sort(c.TIMESTAMP, c.EVENT_ID), at_once)


def test_without_lists_the_shop_goes_on_as_before(shop, make_audience, since):
    events = lived(make_audience())
    before = shop.events.filter(pl.col(c.TIMESTAMP) >= since)
    assert events[c.RECOMMENDATION_ID].null_count() == events.height
    counts, usual = (
        dict(table[c.EVENT_TYPE].value_counts().iter_rows()) for table in (events, before)
    )
    for kind in (c.PRODUCT_VIEW, c.CLICK, c.ADD_TO_CART, c.PURCHASE):
        assert counts[kind] == pytest.approx(usual[kind], rel=0.12), kind


def test_whom_a_list_does_not_move_does_as_without_it(shop, make_audience, since):
    """Common random numbers: a user who clicks nothing in the lists lives the same life."""
    without, with_lists = (
        lived(make_audience()),
        lived(make_audience(lost_id_share=0.0), best_sellers(shop, since)),
    )
    moved = with_lists.filter(pl.col(c.RECOMMENDATION_ID).is_not_null())[c.USER_ID].unique()
    same = [
        events.filter(~pl.col(c.USER_ID).is_in(moved.implode())) for events in (without, with_lists)
    ]
    assert same[0].height > 1_000
    assert_frame_equal(*same)


def test_ids_are_those_of_clicks_in_the_list(shop, make_audience, since):
    products = best_sellers(shop, since)
    events = lived(make_audience(lost_id_share=0.0), products)
    credited = events.filter(pl.col(c.RECOMMENDATION_ID).is_not_null())
    assert (credited[c.RECOMMENDATION_ID] == credited[c.SESSION_ID] + "-answer").all()
    assert set(credited[c.PRODUCT_ID]) <= set(products)
    key = [c.SESSION_ID, c.PRODUCT_ID]
    clicked = credited.filter(pl.col(c.EVENT_TYPE) == c.CLICK)
    assert credited.join(clicked, on=key, how="anti").is_empty()
    assert events.join(clicked, on=key, how="semi").height == credited.height
    # The same products are browsed without the list too, and that is not credited to it.
    assert events.filter(
        pl.col(c.PRODUCT_ID).is_in(products), pl.col(c.RECOMMENDATION_ID).is_null()
    ).height


def test_what_is_clicked_in_a_list_was_not_searched_for(shop, make_audience, since):
    events = lived(make_audience(lost_id_share=0.0), best_sellers(shop, since))
    from_list = pl.col(c.RECOMMENDATION_ID).is_not_null()
    searched = pl.col(c.SEARCH_QUERY).is_not_null()
    assert not events.filter(from_list).select(searched.any()).item()
    views = events.filter(~from_list, pl.col(c.EVENT_TYPE) == c.PRODUCT_VIEW)
    assert views.select(searched.mean()).item() == pytest.approx(0.35, abs=0.05)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_some_ids_get_lost(shop, make_audience, since, share):
    products = best_sellers(shop, since)
    kept, events = (lived(make_audience(lost_id_share=s), products) for s in (0.0, share))
    assert_frame_equal(events.drop(c.RECOMMENDATION_ID), kept.drop(c.RECOMMENDATION_ID))
    there, at_most = (table[c.RECOMMENDATION_ID].count() for table in (events, kept))
    assert there / at_most == pytest.approx(1 - share, abs=0.05)


def test_events_follow_the_impression(shop, make_audience, since):
    audience = make_audience()
    events = lived(audience, best_sellers(shop, since)).filter(pl.col(c.EVENT_TYPE) != c.RETURN)
    both = events.join(audience.visits, on=c.SESSION_ID, suffix="_shown")
    assert both.height == events.height
    assert (both[c.TIMESTAMP] > both[f"{c.TIMESTAMP}_shown"]).all()


def test_what_was_bought_is_hardly_bought_again(shop, make_audience, since):
    """Durable products only: a list that keeps showing them sells each about once a user."""
    durable = shop.products.filter(pl.col(c.FEATURES).str.contains('"consumable":false'))
    products = durable[c.PRODUCT_ID].head(POSITIONS).to_list()
    events = lived(make_audience(list_weight=1.0, decay=0.0), products)
    bought = events.filter(pl.col(c.EVENT_TYPE) == c.PURCHASE, pl.col(c.PRODUCT_ID).is_in(products))
    times = bought.group_by(c.USER_ID, c.PRODUCT_ID).len()["len"]
    assert len(times) > 50
    assert (times > 1).mean() < 0.05


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({c.SESSION_ID: "S?"}, "impressions: .* session_id that is not there .*'S\\?'"),
        ({c.PRODUCT_ID: "P?"}, "impressions: .* product_id that is not there .*'P\\?'"),
        ({c.POSITION: 1}, "impressions: session .* is shown several lists"),
    ],
)
def test_impressions_that_cannot_be(shop, make_audience, since, change, message):
    audience = make_audience()
    visits = audience.visits.head(1)
    shown = lists_for(visits, best_sellers(shop, since, 2))
    wrong = shown.with_columns(pl.lit(value).alias(name) for name, value in change.items())
    with pytest.raises(ValueError, match=message):
        audience.respond(visits, wrong.cast(shown.schema))


def test_user_who_comes_twice_in_a_call(make_audience):
    audience = make_audience()
    with pytest.raises(ValueError, match=r"visits: user 'U.*' comes several times"):
        audience.respond(audience.visits, NOTHING)


def test_nobody_comes(make_audience):
    audience = make_audience()
    events = audience.respond(audience.visits.clear(), NOTHING)
    assert events.is_empty()
    assert events.schema == lived(audience).schema
