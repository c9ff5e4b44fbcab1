from datetime import UTC, datetime

import pytest
import redis

from recsys_kedro.serving.event_feed import MOST_EXAMPLES, FeedOptions, feed_events
from recsys_kedro.serving.user_record import StoredEvent, events_key, micros

OPTIONS = FeedOptions(newest_events=3, ttl_days=1, batch_events=2)
GOOD = {
    "event_id": "e1",
    "event_type": "purchase",
    "user_id": "ann",
    "product_id": "cup",
    "timestamp": "2024-06-01T12:00:00.000001Z",
    "session_id": "s1",
    "price": 2.5,
    "quantity": 2,
}
TIME = micros(datetime(2024, 6, 1, 12, 0, 0, 1, tzinfo=UTC))


def feed(client, *events, options=OPTIONS):
    return feed_events(client, "corner", iter(events), options)


def stored(client, user="ann"):
    raw = client.zrange(events_key("corner", user), 0, -1)
    return [StoredEvent.model_validate_json(entry) for entry in raw]


def test_event_is_kept_as_it_was(client):
    report = feed(client, GOOD)
    assert (report.accepted, report.rejected, report.examples) == (1, {}, [])
    fields = {name: value for name, value in GOOD.items() if name != "user_id"}
    assert stored(client) == [StoredEvent(**fields | {"timestamp": TIME, "quantity": 2.0})]


def test_event_needs_no_more_than_who_what_and_when(client):
    indispensable = ("event_type", "user_id", "product_id", "timestamp")
    feed(client, {name: GOOD[name] for name in indispensable})
    event = StoredEvent(event_type="purchase", product_id="cup", timestamp=TIME)
    assert stored(client) == [event]


@pytest.mark.parametrize(
    "time",
    [
        datetime(2024, 6, 1, 12, 0, 0, 1, tzinfo=UTC),
        datetime(2024, 6, 1, 12, 0, 0, 1),  # naive: UTC
        "2024-06-01T14:00:00.000001+02:00",
        "2024-06-01 12:00:00.000001",
    ],
)
def test_times_are_utc(client, time):
    feed(client, GOOD | {"timestamp": time})
    assert stored(client)[0].timestamp == TIME


def test_price_may_lie_in_the_context(client):
    flat = {name: value for name, value in GOOD.items() if name != "price"}
    feed(client, flat | {"context": {"price": 7.5, "category": "tea"}, "device_type": "mobile"})
    assert stored(client)[0].price == 7.5


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"event_type": "steal"}, "event_type: "),
        ({"user_id": ""}, "user_id: "),
        ({"user_id": 7}, "user_id: "),
        ({"user_id": "\ud800"}, "user_id: "),
        ({"product_id": None}, "product_id: "),
        ({"timestamp": "yesterday"}, "timestamp: "),
        ({"timestamp": "1960-01-01T00:00:00Z"}, "timestamp: "),
        ({"price": -1}, "price: "),
        ({"price": float("nan")}, "price: "),
        ({"quantity": -1}, "quantity: "),
    ],
)
def test_bad_event_is_refused_with_its_reason_and_its_neighbours_are_kept(client, changes, named):
    report = feed(client, GOOD, GOOD | changes, GOOD | {"event_id": "e2"})
    assert report.accepted == 2
    ((reason, count),) = report.rejected.items()
    assert reason.startswith(named)
    assert count == 1
    (example,) = report.examples
    assert (example.place, example.reason) == (1, reason)
    assert example.event.startswith("{'event_id': 'e1'")
    assert [event.event_id for event in stored(client)] == ["e1", "e2"]


def test_what_is_no_event_at_all_is_refused(client):
    report = feed(client, None, "event", [])
    assert sum(report.rejected.values()) == 3
    assert report.accepted == 0


def test_all_refusals_are_counted_and_the_first_are_shown(client):
    bad = [GOOD | {"price": "much" * 1_000}] * (MOST_EXAMPLES + 5)
    report = feed(client, *bad)
    assert list(report.rejected.values()) == [MOST_EXAMPLES + 5]
    assert [example.place for example in report.examples] == list(range(MOST_EXAMPLES))
    assert max(len(example.event) for example in report.examples) <= 500


def numbered(*numbers):
    return [GOOD | {"event_id": f"e{n}", "timestamp": f"2024-06-{n:02}T00:00:00Z"} for n in numbers]


def test_newest_by_time_are_kept_in_whatever_order_they_come(client):
    feed(client, *numbered(5, 2, 4))
    feed(client, *numbered(1, 3))
    assert [event.event_id for event in stored(client)] == ["e3", "e4", "e5"]


def test_replay_changes_nothing(client):
    feed(client, *numbered(1, 2, 3, 4))
    before = stored(client)
    report = feed(client, *numbered(1, 2, 3, 4))
    assert report.accepted == 4
    assert stored(client) == before


def test_users_keep_their_own_events(client, strange):
    feed(client, GOOD, GOOD | {"user_id": strange, "product_id": "pot"}, GOOD | {"user_id": "a*"})
    assert [event.product_id for event in stored(client, strange)] == ["pot"]
    assert len(stored(client)) == 1


def test_events_are_forgotten_some_time_after_the_last_one(client):
    feed(client, GOOD)
    assert 0 < client.pttl(events_key("corner", "ann")) <= 86_400_000


def test_refusal_of_redis_is_counted_like_any_other(client):
    client.set(events_key("corner", "ann"), b"no sorted set")
    report = feed(client, GOOD, GOOD | {"user_id": "bob"}, GOOD)
    assert report.accepted == 1
    ((reason, count),) = report.rejected.items()
    assert reason.startswith("Redis: ")
    assert count == 2
    assert [example.place for example in report.examples] == [0, 2]


def test_redis_that_is_down_is_an_error_so_that_the_events_are_fed_again(redis_server):
    with redis.Redis.from_url(redis_server.url, protocol=2) as client:
        with pytest.raises(redis.ConnectionError, match=f"127.0.0.1:{redis_server.port}"):
            feed(client, GOOD)
        assert feed(client).accepted == 0
