from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from recsys_kedro.serving.cache import LocalCache, RedisCache, list_key, request_hash
from recsys_kedro.serving.redis_store import RedisStore
from recsys_kedro.serving.requests import RecommendationRequest
from recsys_kedro.serving.store import NOBODY, SnapshotStore, UserContent, UserState

NOW = datetime(2024, 6, 1, 12, 0, tzinfo=UTC)
MADE_BY = {"model": "hybrid", "version": "7", "rules": 3, "diversity": 0.1}


def hash_of(made_by=MADE_BY, **request):
    request = RecommendationRequest.model_validate({"user_id": "ann"} | request)
    return request_hash(request, made_by)


@pytest.mark.parametrize(
    "other",
    [
        {"k": 11},
        {"filter_purchased": False},
        {"exclude": ["cup"]},
        {"category": "tea"},
        {"price": {"low": 1}},
        {"price": {"high": 1}},
        {"diversity": 0.5},
        {"onboarding": [{"question": "drink", "liked": ["tea"]}]},
        {"events": [{"product_id": "cup"}]},
        {"context": {"product_id": "cup"}},
        {"context": {"category": "tea"}},
        {"context": {"device_type": "mobile"}},
        {"context": {"search_query": "tea"}},
        {"context": {"time": NOW}},
        {"context": {"time": NOW - timedelta(seconds=1)}},
        {"made_by": MADE_BY | {"version": "8"}},
        {"made_by": MADE_BY | {"rules": 4}},
    ],
)
def test_hash_holds_all_that_a_list_depends_on(other):
    assert hash_of(**other) != hash_of()
    assert hash_of(**other) == hash_of(**other)


@pytest.mark.parametrize(
    "other",
    [
        {"user_id": "bob"},
        {"exploration": 0.2},
        {"context": {"session_id": "s"}},
        {"made_by": dict(reversed(MADE_BY.items()))},
    ],
)
def test_hash_holds_nothing_else(other):
    assert hash_of(**other) == hash_of()


def test_key_tells_users_and_requests_apart():
    keys = {list_key(token, request) for token in (b"a", b"b", NOBODY) for request in (b"r", b"s")}
    assert len(keys) == 6


def state_of(user="ann", token=b"token"):
    return UserState(user, token, lambda: UserContent(None, {}))


def put(cache, key, value=b"list", state=None):
    cache.put([key], [value], [state or state_of()])


def get(cache, key, state=None):
    (found,) = cache.get([key], [state or state_of()])
    return found


def test_local_cache_forgets_after_its_time(clock):
    cache = LocalCache(9, 60, clock)
    put(cache, b"k")
    clock.now += 59.9
    assert get(cache, b"k") == b"list"
    clock.now += 0.1
    assert get(cache, b"k") is None
    assert len(cache) == 0


def test_local_cache_keeps_what_was_used_last(clock):
    cache = LocalCache(2, 60, clock)
    put(cache, b"a")
    put(cache, b"b")
    get(cache, b"a")
    put(cache, b"c")
    assert [get(cache, key) for key in (b"a", b"b", b"c")] == [b"list", None, b"list"]


def test_local_cache_of_size_0_keeps_nothing(clock):
    cache = LocalCache(0, 60, clock)
    put(cache, b"a")
    assert get(cache, b"a") is None


def test_local_cache_gives_a_newer_list(clock):
    cache = LocalCache(2, 60, clock)
    put(cache, b"a", b"old")
    clock.now += 59
    put(cache, b"a", b"new")
    clock.now += 59
    assert get(cache, b"a") == b"new"


def test_local_cache_is_bounded_with_many_threads(clock):
    cache = LocalCache(50, 60, clock)

    def use(thread):
        for number in range(2_000):
            key = b"%d" % ((number * 7 + thread) % 200)
            put(cache, key, b"of " + key)
            assert get(cache, key) in {None, b"of " + key}

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(use, range(8)))
    assert len(cache) == 50


@pytest.fixture
def worker(client, link_to, snapshot, clock):
    """Makes a store and a cache as one worker has them."""

    def make(seconds=60):
        link = link_to(client)
        store = RedisStore(link, "corner", SnapshotStore(snapshot))
        return store, RedisCache(link, seconds, LocalCache(9, seconds, clock))

    return make


def ask(store, user, request):
    """The user's state, and the key of the list for this request."""
    (state,) = store.fetch([user], [request])
    return state, list_key(state.token, request)


def test_list_of_one_worker_is_found_by_another(worker, strange):
    (store, cache), (other_store, other_cache) = worker(), worker()
    state, key = ask(store, strange, hash_of())
    assert get(cache, key, state) is None
    put(cache, key, b"list", state)
    state, same_key = ask(other_store, strange, hash_of())
    assert same_key == key
    assert get(other_cache, key, state) == b"list"
    for user, request in ((strange, hash_of(k=3)), ("ann", hash_of()), ("nobody", hash_of())):
        state, key = ask(store, user, request)
        assert get(cache, key, state) is None


def test_users_of_whom_nothing_is_known_share_their_list(worker):
    store, cache = worker()
    state, key = ask(store, "nobody", hash_of())
    put(cache, key, b"list", state)
    other, same_key = ask(store, "somebody else", hash_of())
    assert get(cache, same_key, other) == b"list"


def test_event_of_the_user_makes_the_list_old(worker, client):
    store, cache = worker()
    state, key = ask(store, "ann", hash_of())
    put(cache, key, b"list", state)
    client.zadd("recsys:corner:events:ann", {b"any event": 1})
    state, key = ask(store, "ann", hash_of())
    assert get(cache, key, state) is None
    put(cache, key, b"newer", state)
    state, key = ask(store, "ann", hash_of())
    assert get(cache, key, state) == b"newer"


def test_foreign_bytes_at_the_place_of_a_list_are_no_list(worker, client):
    store, cache = worker()
    state, key = ask(store, "ann", hash_of())
    put(cache, key, b"list", state)
    for foreign in (b"", b"\xff\xfe", key[:-1], b"x" + key):
        client.set(state.slot, foreign)
        assert get(cache, *ask(store, "ann", hash_of())[::-1]) is None
    client.delete(state.slot)
    client.rpush(state.slot, b"a list of Redis")
    assert get(cache, *ask(store, "ann", hash_of())[::-1]) is None


def test_list_in_redis_has_its_time(worker, client):
    store, cache = worker(seconds=60)
    state, key = ask(store, "ann", hash_of())
    put(cache, key, b"list", state)
    assert 0 < client.pttl(state.slot) <= 60_000


def test_without_redis_lists_are_kept_in_the_process(link_to, snapshot, clock, redis_server):
    link = link_to(redis_server.url)  # not started
    store = RedisStore(link, "corner", SnapshotStore(snapshot))
    cache = RedisCache(link, 60, LocalCache(9, 60, clock))
    state, key = ask(store, "ann", hash_of())
    put(cache, key, b"list", state)
    assert get(cache, *ask(store, "ann", hash_of())[::-1]) == b"list"
    assert get(cache, *ask(store, "zoe", hash_of())[::-1]) is None
