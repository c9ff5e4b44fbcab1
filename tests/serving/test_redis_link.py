"""A real Redis in trouble: what it costs, and that it never costs an answer."""

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Thread

import pytest

from recsys_kedro.serving.options import ServingOptions
from recsys_kedro.serving.redis_link import FAILURES_TO_OPEN, RedisLink
from recsys_kedro.serving.redis_store import NOT_STORED, STORE_DOWN, RedisStore
from recsys_kedro.serving.store import SnapshotStore
from recsys_kedro.serving.user_record import user_key


@pytest.fixture
def link(link_to, redis_server):
    return link_to(redis_server.url)


@pytest.fixture
def store(link, snapshot):
    return RedisStore(link, "corner", SnapshotStore(snapshot))


def degraded(store, user="ann"):
    """How the state is degraded; its content is the snapshot's, whatever happened."""
    (state,) = store.fetch([user])
    assert state.history["product_id"].to_list() == ["cup", "pot", "cup"]
    assert state.profile["total_views"] == 0
    return state.degraded


def test_down_at_the_start_and_up_later(link, store, redis_server, clock, caplog):
    for _ in range(5):
        assert degraded(store) == STORE_DOWN
    assert link.breaker.is_open
    assert link.troubles == {"down": FAILURES_TO_OPEN}
    assert caplog.text.count("Redis does not answer") == 1
    redis_server.start()
    assert degraded(store) == STORE_DOWN, "left alone until the pause is over"
    clock.now += 2
    assert degraded(store) == NOT_STORED
    assert not link.breaker.is_open


def test_killed_under_use_and_restarted_empty(link, store, redis_server, clock):
    redis_server.start()
    assert degraded(store) == NOT_STORED
    redis_server.kill()
    for _ in range(4):
        assert degraded(store) == STORE_DOWN
    redis_server.start()
    clock.now += 2
    for _ in range(4):
        assert degraded(store) == NOT_STORED


def test_killed_while_many_threads_ask(store, redis_server, snapshot):
    redis_server.start()
    stop = threading.Event()

    def ask(_):
        found = set()
        while not stop.is_set():
            found.add(degraded(store))
        return found

    with ThreadPoolExecutor(8) as pool:
        answers = pool.map(ask, range(8))
        redis_server.kill()
        while degraded(store) != STORE_DOWN:
            pass
        stop.set()
        assert set().union(*answers) <= {NOT_STORED, STORE_DOWN}


def test_hanging_server_costs_the_time_limit_to_a_few_and_nothing_to_the_others(
    link, store, redis_server, clock
):
    redis_server.start()
    assert degraded(store) == NOT_STORED
    redis_server.freeze()
    for _ in range(20):
        assert degraded(store) == STORE_DOWN
    assert link.troubles == {"down": FAILURES_TO_OPEN}, "the others did not even ask"
    clock.now += 2
    for _ in range(20):
        assert degraded(store) == STORE_DOWN
    assert link.troubles == {"down": FAILURES_TO_OPEN + 1}, "one trial per pause"
    redis_server.thaw()
    clock.now += 2
    assert degraded(store) == NOT_STORED
    assert not link.breaker.is_open


def test_answers_that_come_too_late_are_nobodys(link, redis_server, clock):
    """After a time limit the connection is dropped, or a user would get another one's record."""
    redis_server.start()
    for user in ("ann", "bob"):
        link.write([("SET", user_key("corner", user), user)])
    assert link.ask([("GET", user_key("corner", "ann"))]) == [b"ann"]
    redis_server.freeze()
    assert link.ask([("GET", user_key("corner", "ann"))]) is None
    redis_server.thaw()
    for user in ("bob", "ann", "bob"):
        assert link.ask([("GET", user_key("corner", user))]) == [user.encode()]


def test_paused_server_closes_the_breaker_when_it_is_back(link, store, redis_server, clock):
    redis_server.start()
    link.ask([("CLIENT", "PAUSE", 500, "ALL")])
    assert [degraded(store) for _ in range(4)] == [STORE_DOWN] * 4
    time.sleep(0.6)
    clock.now += 2
    assert degraded(store) == NOT_STORED


def test_full_server_is_read_and_refused_writes_are_counted(link, redis_server, caplog):
    redis_server.start("--maxmemory", "2mb", "--maxmemory-policy", "noeviction")
    link.write([("SET", "kept", "value")])
    link.write([("SET", f"large {number}", b"x" * 100_000) for number in range(50)])
    assert link.troubles["refused"] > 0
    assert set(link.troubles) == {"refused"}
    assert "refuses to write" in caplog.text
    assert link.ask([("GET", "kept")]) == [b"value"]
    assert not link.breaker.is_open


def test_nothing_to_ask_asks_nobody(link):
    assert link.ask([]) == []
    assert not link.troubles


def test_something_else_that_listens_is_as_good_as_down(link_to, snapshot):
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer():
            for _ in range(FAILURES_TO_OPEN):
                with listener.accept()[0] as connection:
                    connection.recv(1_000)
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = Thread(target=answer)
        thread.start()
        link = link_to(f"redis://127.0.0.1:{listener.getsockname()[1]}")
        store = RedisStore(link, "corner", SnapshotStore(snapshot))
        assert [degraded(store) for _ in range(3)] == [STORE_DOWN] * 3
        thread.join()


def test_link_of_the_servers_options(redis_server):
    assert RedisLink.of(ServingOptions(redis_url=None)) is None
    assert RedisLink.of(ServingOptions(redis_url="")) is None
    redis_server.start("--requirepass", "hush")
    url = redis_server.url.replace("//", "//:hush@")
    options = ServingOptions(redis_url=url, redis_timeout_ms=500)
    assert "hush" not in repr(options)
    link = RedisLink.of(options)
    assert link.ask([("ECHO", "hello")]) == [b"hello"]
    link.close()


def test_wrong_password_is_as_good_as_down_and_is_not_logged(link_to, redis_server, caplog):
    redis_server.start("--requirepass", "right")
    link = link_to(redis_server.url.replace("//", "//:wrong@"))
    assert link.ask([("ECHO", "hello")]) is None
    assert link.troubles == {"down": 1}
    assert "wrong" not in caplog.text.replace("WRONGPASS", "")
