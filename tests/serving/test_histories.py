from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from recsys_kedro import columns as c
from recsys_kedro.serving.histories import MOMENT, Asked, history_of, queries_of, time_of
from recsys_kedro.serving.requests import RecommendationRequest
from recsys_kedro.serving.snapshot import NO_HISTORY

NOW = datetime(2024, 6, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def ask(**given):
    return RecommendationRequest.model_validate({"user_id": "ann"} | given)


def past(*rows):
    """History of ``(product, time)``, bought."""
    columns = {
        c.PRODUCT_ID: [product for product, _ in rows],
        c.EVENT_TYPE: [c.PURCHASE] * len(rows),
        c.TIMESTAMP: [time for _, time in rows],
        c.SESSION_ID: ["1"] * len(rows),
        c.PRICE: [2.0] * len(rows),
        c.QUANTITY: [1.0] * len(rows),
    }
    return pl.DataFrame(columns, schema=NO_HISTORY.schema)


STORED = past(("cup", NOW - 9 * HOUR), ("pot", NOW - 8 * HOUR))


def of(request, stored=STORED, liked=NO_HISTORY, time=NOW):
    return history_of(request, stored, liked, time)


def test_time_is_the_requests_or_now_or_that_of_stale_data():
    as_of = NOW - timedelta(days=59)
    assert time_of(ask(), as_of, NOW) == NOW
    assert time_of(ask(), as_of - timedelta(days=2), NOW) == as_of - timedelta(days=2)
    named = ask(context={"time": "2024-01-02T03:04:05+01:00"})
    assert time_of(named, as_of, NOW) == datetime(2024, 1, 2, 2, 4, 5, tzinfo=UTC)


def test_stored_history_alone_is_taken_as_it_is():
    assert of(ask()).equals(STORED)
    assert of(ask(), stored=NO_HISTORY).is_empty()


def test_what_was_sent_is_sorted_in_and_without_a_time_has_just_happened():
    sent = [
        {"product_id": "now"},
        {"product_id": "then", "timestamp": (NOW - 8.5 * HOUR).isoformat()},
    ]
    history = of(ask(events=sent, context={"product_id": "page"}))
    assert history[c.PRODUCT_ID].to_list() == ["cup", "then", "pot", "now", "page"]
    assert history[c.TIMESTAMP][-1] == NOW - MOMENT
    assert history[c.EVENT_TYPE].to_list()[-2:] == [c.PRODUCT_VIEW] * 2


def test_answers_of_the_quiz_are_history_too():
    assert of(ask(), liked=past(("liked", NOW - MOMENT)))[c.PRODUCT_ID].to_list()[-1] == "liked"


@pytest.mark.parametrize("where", ["sent", "stored"])
def test_a_clock_that_is_ahead_does_not_lose_the_event(where):
    ahead = NOW + 5 * HOUR
    sent = [{"product_id": "late", "timestamp": ahead.isoformat()}] if where == "sent" else []
    stored = STORED if where == "sent" else pl.concat([STORED, past(("late", ahead))])
    history = of(ask(events=sent), stored=stored)
    assert history[c.PRODUCT_ID].to_list() == ["cup", "pot", "late"]
    assert history[c.TIMESTAMP].max() == NOW - MOMENT


@pytest.mark.parametrize("where", ["sent", "stored"])
def test_as_of_a_named_time_what_is_later_does_not_count(where):
    sent = [{"product_id": "late", "timestamp": NOW.isoformat()}] if where == "sent" else []
    stored = STORED if where == "sent" else pl.concat([STORED, past(("late", NOW))])
    history = of(ask(events=sent, context={"time": NOW.isoformat()}), stored=stored)
    assert history.equals(STORED)


def test_queries_hold_the_requests_in_their_order():
    context = {"device_type": "mobile", "category": "tea", "search_query": "green"}
    asked = [
        Asked(ask(), NOW, NO_HISTORY, {}),
        Asked(ask(context=context), NOW - HOUR, STORED, {"visits": 3}),
    ]
    queries = queries_of(asked, {"visits": pl.Int64})
    assert queries.offsets.tolist() == [0, 0, 2]
    assert queries.requests["visits"].to_list() == [None, 3]
    assert queries.requests[c.AS_OF].to_list() == [NOW, NOW - HOUR]
    assert queries.requests[c.DEVICE_TYPE].to_list() == [None, "mobile"]
    assert queries.requests[c.LIVE].to_list() == [True, True]
    assert queries.age_days.tolist() == pytest.approx([8 / 24, 7 / 24])
