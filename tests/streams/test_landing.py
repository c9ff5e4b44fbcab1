import logging
import signal

import orjson
import polars as pl
import pytest
from confluent_kafka import Producer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from servers.kafka import Broker, serving
from servers.processes import free_port

from recsys_kedro import columns as c
from recsys_kedro.datasets.tables import TableDataset
from recsys_kedro.streams import landing
from recsys_kedro.streams.broker import TopicReader
from recsys_kedro.streams.landed_files import LandedFiles, Offsets
from recsys_kedro.streams.landing import land
from recsys_kedro.streams.options import KAFKA_OFFSET, KAFKA_PARTITION

DEAD = "dead_letters/"


def numbered(event, *numbers):
    return [event(event_id=f"e{number}") for number in numbers]


def test_every_partition_is_landed_to_its_end(broker, options_for, landed, event):
    topic = broker.new_topic(3)
    broker.send(topic, *numbered(event, 0, 1), partition=0)
    broker.send(topic, *numbered(event, 2), partition=2)
    options = options_for(topic)

    report = land(options)

    rows = landed(options)
    assert rows[c.EVENT_ID].to_list() == ["e0", "e1", "e2"]
    assert rows.select(KAFKA_PARTITION, KAFKA_OFFSET).rows() == [(0, 0), (0, 1), (2, 0)]
    assert [one.landed for one in report.partitions] == [2, 0, 1]
    assert (report.landed, report.files, report.dead_letters, report.lag) == (3, 2, {}, 0)
    assert report.bytes == sum(len(orjson.dumps(one)) for one in numbered(event, 0, 1, 2))
    assert 3 / report.rows_per_second == pytest.approx(report.seconds, abs=0.001)


def test_next_landing_starts_where_the_files_end(broker, options_for, landed, event):
    topic = broker.new_topic()
    options = options_for(topic)
    for number in range(3):
        broker.send(topic, *numbered(event, number))
        assert land(options).landed == 1
    assert land(options).files == 0
    assert landed(options)[c.EVENT_ID].to_list() == ["e0", "e1", "e2"]


def test_files_and_not_commits_say_what_is_landed(broker, options_for, landed, event):
    topic = broker.new_topic()
    broker.send(topic, *numbered(event, 0, 1))
    options = options_for(topic)
    land(options)
    assert broker.committed(topic, options.group) == 2
    elsewhere = options.model_copy(update={"folder": f"{options.folder}_2"})
    assert land(elsewhere).landed == 2
    assert landed(elsewhere).equals(landed(options))


def test_memory_is_bounded_by_rows_and_bytes(broker, options_for, landed, event):
    topic = broker.new_topic()
    broker.send(topic, *numbered(event, *range(7)))
    by_rows = options_for(topic, rows_per_file=3)
    assert land(by_rows).files == 3
    size = len(orjson.dumps(event(event_id="e0")))
    by_bytes = options_for(topic, bytes_per_file=2 * size, folder=f"{by_rows.folder}_2")
    assert land(by_bytes).files == 4
    assert landed(by_bytes).equals(landed(by_rows))


def test_dead_letters_are_kept_with_reason_and_position(broker, options_for, landed, event):
    topic = broker.new_topic()
    broker.send(topic, b"\xff", event(), None, event(user_id=""), b"[]")
    options = options_for(topic)

    report = land(options)

    dead = landed(options, DEAD)
    assert dead.drop(c.REASON).rows() == [
        (0, 0, b"\xff"),
        (0, 2, None),
        (0, 3, orjson.dumps(event(user_id=""))),
        (0, 4, b"[]"),
    ]
    codes = dead[c.REASON].str.split(":").list.first().to_list()
    assert codes == ["not_json", "empty", "no_user_id", "not_an_object"]
    assert report.dead_letters == dict.fromkeys(codes, 1)
    assert report.partitions[0].consumed == 5
    assert landed(options)[KAFKA_OFFSET].to_list() == [1]


def test_nothing_but_dead_letters_is_not_read_again(broker, options_for, landed):
    topic = broker.new_topic()
    broker.send(topic, b"{", b"}")
    options = options_for(topic)
    land(options)
    assert land(options).partitions[0].consumed == 0
    assert landed(options).is_empty()
    assert landed(options, DEAD).height == 2


def test_dead_letters_go_to_a_topic_too(broker, options_for, event, monkeypatch):
    monkeypatch.setattr(landing, "MOST_COPIED", 3)
    topic, dead = broker.new_topic(), broker.new_topic()
    broker.send(topic, event(), b"{", b"long", None)
    land(options_for(topic, dead_letter_topic=dead))
    messages = broker.messages(dead)
    assert [(m.key(), m.value()) for m in messages] == [
        (f"{topic}/0/1".encode(), b"{"),
        (f"{topic}/0/2".encode(), None),
        (f"{topic}/0/3".encode(), None),
    ]
    assert [dict(m.headers())[c.REASON].partition(b":")[0] for m in messages] == [
        b"not_json", b"not_json", b"empty"
    ]  # fmt: skip


def test_what_comes_while_it_lands_is_lag(broker, options_for, event, monkeypatch):
    topic = broker.new_topic()
    broker.send(topic, event())
    options = options_for(topic)

    def spans_and_then_another_event(reader, spans=TopicReader.spans):
        found = spans(reader)
        broker.send(topic, event())
        return found

    with monkeypatch.context() as patch:
        patch.setattr(TopicReader, "spans", spans_and_then_another_event)
        report = land(options)
    assert (report.landed, report.lag) == (1, 1)
    assert land(options).landed == 2


def test_dropped_messages_fail_the_landing(broker, options_for, landed, event):
    topic = broker.new_topic()
    options = options_for(topic)
    broker.send(topic, *numbered(event, 0))
    land(options)
    broker.send(topic, *numbered(event, 1, 2, 3))
    broker.forget(topic, before=3)
    with pytest.raises(LookupError, match=r"dropped offsets 1 to 2 \(2\).*landing.on_gap"):
        land(options)
    assert landed(options).height == 1


def test_dropped_messages_can_be_counted(broker, options_for, landed, event, caplog):
    topic = broker.new_topic()
    options = options_for(topic, on_gap="count")
    broker.send(topic, *numbered(event, 0))
    land(options)
    broker.send(topic, *numbered(event, 1, 2, 3))
    broker.forget(topic, before=3)
    assert land(options).gone == 3 - 1
    assert "dropped offsets 1 to 2" in caplog.text
    assert landed(options)[c.EVENT_ID].to_list() == ["e0", "e3"]
    assert land(options).gone == 0


def test_first_landing_takes_what_there_is(broker, options_for, landed, event):
    topic = broker.new_topic()
    broker.send(topic, *numbered(event, 0, 1))
    broker.forget(topic, before=1)
    options = options_for(topic)
    assert land(options).gone == 0
    assert landed(options)[c.EVENT_ID].to_list() == ["e1"]


def test_messages_dropped_while_they_are_read_are_an_error(broker, options_for, event):
    topic = broker.new_topic()
    broker.send(topic, event(), event())
    options = options_for(topic)
    with TopicReader(options, topic, options.group, 10) as reader:
        broker.forget(topic, before=1)
        with pytest.raises(LookupError, match="dropped offset 0 while it was waiting"):
            list(reader.read(0, 0, 2))


def test_topic_that_was_made_anew_is_an_error(broker, options_for, event):
    topic = broker.new_topic(2)
    options = options_for(topic)
    broker.send(topic, event(), event())
    land(options)
    broker.delete(topic)
    broker.create(topic)
    broker.send(topic, event())
    with pytest.raises(ValueError, match=r"up to 1 are landed, but the broker ends at 0.*folder"):
        land(options)


def test_partition_that_is_no_longer_there_is_an_error(broker, options_for, event):
    topic = broker.new_topic()
    options = options_for(topic)
    files = LandedFiles(options.folder, topic)
    files.add(7, Offsets(0, 0), pl.DataFrame({"a": [1]}), pl.DataFrame())
    with pytest.raises(ValueError, match=r"partitions \[7\] are landed.*another topic"):
        land(options)


def test_missing_offsets_of_aborted_transactions_do_not_hold_it_up(
    broker, options_for, landed, event
):
    topic = broker.new_topic()
    producer = Producer(
        {"bootstrap.servers": broker.servers, "transactional.id": topic, "log_level": 2}
    )
    producer.init_transactions(20)
    for finish in (producer.commit_transaction, producer.abort_transaction):
        producer.begin_transaction()
        producer.produce(topic, orjson.dumps(event(event_id=finish.__name__)), partition=0)
        finish(20)
    options = options_for(topic)
    assert land(options).landed == 1
    assert landed(options)[c.EVENT_ID].to_list() == ["commit_transaction"]
    broker.send(topic, *numbered(event, 9))
    assert land(options).landed == 1


def test_broker_that_is_down_is_named(options_for, caplog):
    secret = "planted-in-the-settings"
    options = options_for(
        "events", bootstrap_servers="127.0.0.1:1", timeout_s=0.5, client={"sasl.password": secret}
    )
    with caplog.at_level(logging.DEBUG), pytest.raises(ConnectionError) as caught:
        land(options)
    assert "127.0.0.1:1, topic 'events'" in str(caught.value)
    assert secret not in f"{caught.value!r} {caught.value.__cause__!r} {caplog.text} {options!r}"


def test_broker_that_falls_silent_costs_nothing(tmp_path, options_for, landed, event, monkeypatch):
    port = free_port()
    servers = f"127.0.0.1:{port}"
    options = options_for("events", bootstrap_servers=servers, rows_per_file=2, timeout_s=0.5)
    with serving(tmp_path / "broker", port) as process:
        broker = Broker(servers)
        broker.create("events")
        broker.send("events", *numbered(event, *range(5)))

        def freeze_and_add(files, *what, add=LandedFiles.add):
            process.send_signal(signal.SIGSTOP)
            add(files, *what)

        with monkeypatch.context() as patch:
            patch.setattr(LandedFiles, "add", freeze_and_add)
            with pytest.raises(ConnectionError, match=servers):
                land(options)
        process.send_signal(signal.SIGCONT)
        land(options)
    assert landed(options)[c.EVENT_ID].to_list() == [f"e{number}" for number in range(5)]


def test_topic_that_is_not_there_is_named(options_for):
    with pytest.raises(ValueError, match="has no topic 'no-such-topic'"):
        land(options_for("no-such-topic"))


def test_two_landings_at_once_are_refused(broker, options_for, event):
    topic = broker.new_topic()
    broker.send(topic, event())
    options = options_for(topic)
    other = LandedFiles(options.folder, topic).locked()
    with other, pytest.raises(BlockingIOError, match="another landing"):
        land(options)
    assert land(options).landed == 1


def test_secrets_are_in_no_log_and_no_report(broker, options_for, event, caplog):
    secret = "planted-in-the-settings"
    topic = broker.new_topic()
    broker.send(topic, event(), b"{")
    options = options_for(topic, client={"sasl.username": secret, "sasl.password": secret})
    with caplog.at_level(logging.DEBUG):
        report = land(options)
    for text in (
        caplog.text,
        report.model_dump_json(),
        repr(options),
        str(options.model_dump(mode="json")),
    ):
        assert secret not in text


def test_landed_folder_is_read_as_raw_events(broker, options_for, event):
    topic = broker.new_topic()
    context = {"category": "tea", "price": 2.5}
    broker.send(topic, event(context=context), event(price="ten", campaign="x"))
    options = options_for(topic, rows_per_file=1)
    land(options)
    raw = TableDataset(filepath=f"{options.folder}/topic=*/partition=*/offsets-*.parquet").load()
    assert raw[c.SOURCE_ROW].to_list() == [1, 2]
    assert raw[c.PRICE].to_list() == [None, "ten"]
    assert orjson.loads(raw["context"][0]) == context


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.none() | st.binary(max_size=50), min_size=1, max_size=20))
def test_whatever_comes_is_landed_or_a_dead_letter(
    broker, options_for, landed, event, tmp_path_factory, messages
):
    topic = broker.new_topic()
    broker.send(topic, *messages, event())
    options = options_for(topic, folder=str(tmp_path_factory.mktemp("landed")), rows_per_file=7)
    report = land(options)
    (one,) = report.partitions
    assert one.consumed == one.next_offset == len(messages) + 1
    offsets = (
        landed(options)[KAFKA_OFFSET].to_list() + landed(options, DEAD)[KAFKA_OFFSET].to_list()
    )
    assert sorted(offsets) == list(range(len(messages) + 1))
