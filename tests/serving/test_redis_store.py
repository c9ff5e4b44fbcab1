"""Users out of a real Redis: the same as out of the snapshot, and newer where there is newer."""

import subprocess
import sys
from dataclasses import replace
from datetime import timedelta

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from recsys_kedro import columns as c
from recsys_kedro.features import columns as f
from recsys_kedro.serving.event_feed import FeedOptions, feed_events
from recsys_kedro.serving.materialisation import materialise
from recsys_kedro.serving.redis_store import GARBAGE, NOT_STORED, RedisStore
from recsys_kedro.serving.snapshot import NO_HISTORY
from recsys_kedro.serving.store import NOBODY, SnapshotStore
from recsys_kedro.serving.user_record import events_key, user_key

SHOP = "corner"


@pytest.fixture
def store(client, link_to, snapshot):
    return RedisStore(link_to(client), SHOP, SnapshotStore(snapshot))


@pytest.fixture
def filled(client, store, snapshot):
    """The store with every user of the snapshot materialised."""
    materialise(client, SHOP, snapshot, batch_users=2, ttl_days=1)
    return store


def fed(client, user, product, at, **others):
    event = {"user_id": user, "product_id": product, "timestamp": at, "event_type": "click"}
    report = feed_events(client, SHOP, [event | others], FeedOptions())
    assert report.accepted == 1


def products_of(state):
    return state.history[c.PRODUCT_ID].to_list()


def one(store, user):
    (state,) = store.fetch([user])
    return state


def test_both_stores_give_the_same(filled, snapshot, strange):
    users = ["ann", strange, "nobody", "pat", "zoe", "ann"]
    ours, theirs = filled.fetch(users), SnapshotStore(snapshot).fetch(users)
    for our, their in zip(ours, theirs, strict=True):
        assert our.user_id == their.user_id
        assert_frame_equal(our.history, their.history)
        assert our.profile == their.profile
        assert [type(v) for v in our.profile.values()] == [type(v) for v in their.profile.values()]
        assert our.degraded is None
        assert (our.token == NOBODY) == (their.token == NOBODY)


def test_both_stores_give_the_same_on_the_simulated_shop(client, link_to, shop_events, shop,
                                                         take_snapshot, shop_split):  # fmt: skip
    snapshot = take_snapshot(shop_events, at=110)
    report = materialise(client, SHOP, snapshot, batch_users=150, ttl_days=1)
    users = shop.users[c.USER_ID].to_list()
    assert report.written == report.users == snapshot.profiles.height
    store = RedisStore(link_to(client), SHOP, SnapshotStore(snapshot))
    for ours, theirs in zip(store.fetch(users), SnapshotStore(snapshot).fetch(users), strict=True):
        assert_frame_equal(ours.history, theirs.history)
        assert ours.profile == theirs.profile


def test_no_users_no_states(store):
    assert store.fetch([]) == []


def test_event_of_another_process_counts_in_the_next_request(filled, shared_redis, day, strange):
    before = one(filled, strange)
    code = (
        "import sys, redis; from recsys_kedro.serving.event_feed import *\n"
        "client = redis.Redis.from_url(sys.argv[1], protocol=2)\n"
        "event = dict(user_id=eval(sys.argv[2]), product_id='new', event_type='purchase',"
        "             timestamp=sys.argv[3], session_id='s', price=1.5, quantity=2)\n"
        "assert feed_events(client, 'corner', [event], FeedOptions()).accepted == 1"
    )
    at = day(100).isoformat()
    subprocess.run([sys.executable, "-c", code, shared_redis, ascii(strange), at], check=True)
    after = one(filled, strange)
    values = ("new", "purchase", day(100), "s", 1.5, 2.0)
    newest = dict(zip(NO_HISTORY.columns, values, strict=True))
    assert_frame_equal(after.history[:-1], before.history)
    assert after.history.row(-1, named=True) == newest
    assert after.history.schema == NO_HISTORY.schema
    assert after.token != before.token
    assert after.profile == before.profile


def test_recent_events_before_the_record_are_in_it_already(filled, client, day):
    fed(client, "ann", "before", day(100) - timedelta(microseconds=1))
    fed(client, "ann", "at", day(100))
    assert products_of(one(filled, "ann")) == ["cup", "pot", "cup", "at"]


def test_recent_events_come_in_the_order_of_their_time(filled, client, day):
    for product, at in (("c", 103), ("a", 101), ("b", 102)):
        fed(client, "ann", product, day(at))
    assert products_of(one(filled, "ann"))[-3:] == ["a", "b", "c"]


def test_newer_record_drops_the_recent_events_that_it_holds(filled, client, take_snapshot, day,
                                                            make_events):  # fmt: skip
    fed(client, "ann", "late", day(100))
    fed(client, "ann", "later", day(101))
    table = make_events(("ann", "cup", 10), ("ann", "late", 100))
    materialise(client, SHOP, take_snapshot(table, at=101), batch_users=9, ttl_days=1)
    assert client.zcard(events_key(SHOP, "ann")) == 1
    assert products_of(one(filled, "ann")) == ["cup", "late", "later"]


def test_record_older_than_the_snapshot_is_not_used(filled, client, take_snapshot, make_events,
                                                    link_to, day):  # fmt: skip
    newer = take_snapshot(make_events(("ann", "cup", 10), ("ann", "jar", 104)), at=105)
    fed(client, "ann", "in the snapshot", day(104))
    fed(client, "ann", "new", day(105))
    state = one(RedisStore(link_to(client), SHOP, SnapshotStore(newer)), "ann")
    assert products_of(state) == ["cup", "jar", "new"]
    assert state.degraded is None


def test_new_user_is_known_after_one_event(filled, client, day):
    assert one(filled, "newcomer").token == NOBODY
    fed(client, "newcomer", "tea", day(101))
    state = one(filled, "newcomer")
    assert products_of(state) == ["tea"]
    assert state.profile == {}
    assert state.token != NOBODY
    assert state.degraded is None


def test_same_event_id_counts_once(filled, client, day):
    fed(client, "ann", "tea", day(101), event_id="e1", price=2)
    fed(client, "ann", "tea", day(101), event_id="e1", price=2)
    fed(client, "ann", "tea", day(101), event_id="e1", price=3)
    fed(client, "ann", "tea", day(101))
    fed(client, "ann", "tea", day(101))
    assert products_of(one(filled, "ann"))[3:] == ["tea", "tea"]


def test_redis_that_was_never_filled(store, snapshot, client, day):
    fed(client, "ann", "tea", day(101))
    ann, nobody = store.fetch(["ann", "nobody"])
    assert products_of(ann) == ["cup", "pot", "cup", "tea"]
    assert ann.profile == snapshot.profile("ann")
    assert ann.degraded == NOT_STORED
    assert nobody.degraded is None


@pytest.mark.parametrize("foreign", [b"", b"\xff\x00 not ours", b"{}", b"[1, 2]", b"null"])
def test_foreign_bytes_in_the_place_of_a_record(filled, client, snapshot, day, foreign, caplog):
    client.set(user_key(SHOP, "ann"), foreign)
    fed(client, "ann", "tea", day(101))
    ann, zoe = filled.fetch(["ann", "zoe"])
    assert ann.degraded == GARBAGE
    assert_frame_equal(ann.history[:-1], snapshot.history("ann"))
    assert products_of(ann)[-1] == "tea"
    assert ann.profile == snapshot.profile("ann")
    assert zoe.degraded is None
    assert "user:ann' holds what we did not write" in caplog.text


@pytest.mark.parametrize("foreign", [b"", b"\xff", b"7", b'{"product_id": "cup"}'])
def test_foreign_bytes_among_the_events(filled, client, day, foreign, caplog):
    fed(client, "ann", "tea", day(101))
    client.zadd(events_key(SHOP, "ann"), {foreign: 5})
    state = one(filled, "ann")
    assert state.degraded == GARBAGE
    assert products_of(state) == ["cup", "pot", "cup", "tea"]
    assert "events:ann' holds what we did not write" in caplog.text


def test_keys_of_another_type(filled, client, snapshot, caplog):
    for key in (user_key(SHOP, "ann"), events_key(SHOP, "ann"), events_key(SHOP, "zoe")):
        client.delete(key)
        client.rpush(key, b"a list")
    ann, zoe, pat = filled.fetch(["ann", "zoe", "pat"])
    assert ann.degraded == zoe.degraded == GARBAGE
    assert pat.degraded is None
    assert "wrong kind of value" in caplog.text
    for state in (ann, zoe):
        assert_frame_equal(state.history, snapshot.history(state.user_id))


def test_warnings_of_garbage_are_few_and_do_not_repeat_it(filled, client, caplog, clock):
    client.set(user_key(SHOP, "ann"), b'{"as_of": "a secret"}')
    for _ in range(5):
        assert one(filled, "ann").degraded == GARBAGE
    assert caplog.text.count("holds what we did not write") == 1
    clock.now += 60
    assert one(filled, "ann").degraded == GARBAGE
    assert caplog.text.count("holds what we did not write") == 2
    assert "secret" not in caplog.text


def test_token_is_of_the_content(filled, client, take_snapshot, events, day):
    first = one(filled, "ann").token
    assert one(filled, "ann").token == first
    fed(client, "zoe", "tea", day(101))
    assert one(filled, "ann").token == first
    fed(client, "ann", "tea", day(101))
    second = one(filled, "ann").token
    materialise(client, SHOP, take_snapshot(events, at=101), batch_users=9, ttl_days=1)
    assert len({first, second, one(filled, "ann").token}) == 3


def test_any_number_of_users_is_one_trip(filled, client, strange):
    users = ["ann", strange, "nobody", "zoe"]
    hashes = [bytes([number]) * 16 for number in range(4)]
    counts = []
    for asked in (users[:1], users):
        before = client.info("stats")["total_reads_processed"]
        states = filled.fetch(asked, hashes[: len(asked)])
        _ = [state.history for state in states]
        counts.append(client.info("stats")["total_reads_processed"] - before)
    assert counts == [2, 2]  # the fetch, and the question itself


def test_model_with_other_features_reads_the_same_records(filled, link_to, client, snapshot):
    changed = snapshot.profiles.drop(f.PRICE_STD).with_columns(pl.lit(1.5).alias("newer"))
    other = SnapshotStore(replace(snapshot, profiles=changed))
    state = one(RedisStore(link_to(client), SHOP, other), "ann")
    old = {name: value for name, value in snapshot.profile("ann").items() if name != f.PRICE_STD}
    assert state.profile == old | {"newer": None}
    assert state.degraded is None
