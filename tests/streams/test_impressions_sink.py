import signal
from datetime import UTC, datetime

import pytest
from servers.kafka import Broker, serving
from servers.processes import free_port

from recsys_kedro.serving.impressions import ImpressionLog, ShownAnswer
from recsys_kedro.serving.requests import RecommendationAnswer, RecommendedItem
from recsys_kedro.serving.telemetry import Telemetry
from recsys_kedro.streams.impressions_sink import KafkaImpressions
from recsys_kedro.streams.options import Connection
from recsys_kedro.streams.sending import NotDeliveredError, Outgoing, Sender

NOW = datetime(2024, 6, 1, 12, tzinfo=UTC)


def shown(number, user="ann"):
    item = RecommendedItem(
        product_id="cup",
        rank=1,
        score=1,
        source="history",
        reason="You had it",
        name=None,
        category=None,
        price=None,
    )
    answer = RecommendationAnswer(
        recommendation_id=f"r{number}", user_id=user, items=[item], model="m", model_version="1"
    )
    return ShownAnswer(answer, NOW, history_length=3)


def encode(one):
    return one.answer.recommendation_id.encode()


@pytest.fixture
def sink_to():
    sinks = []

    def sink_to(servers, topic, timeout_s=10):
        connection = Connection(bootstrap_servers=servers)
        sinks.append(KafkaImpressions(connection, topic, timeout_s, encode))
        return sinks[-1]

    yield sink_to
    for sink in sinks:
        sink.close()


def test_answers_are_delivered_in_order_when_write_returns(broker, sink_to):
    topic = broker.new_topic()
    sink = sink_to(broker.servers, topic)
    sink.write([shown(0), shown(1)])
    sink.write([shown(2, user="bob")])
    sent = [(message.key(), message.value()) for message in broker.messages(topic)]
    assert sent == [(b"ann", b"r0"), (b"ann", b"r1"), (b"bob", b"r2")]


def test_log_writes_to_a_topic(broker, sink_to):
    topic = broker.new_topic()
    log = ImpressionLog(sink_to(broker.servers, topic), 100, Telemetry())
    for number in range(5):
        log.offer(shown(number))
    log.close()
    assert [m.value() for m in broker.messages(topic)] == [b"r%d" % n for n in range(5)]
    assert (log.dropped, log.failures) == (0, 0)


def test_broker_that_is_down_is_an_error_that_can_be_tried_again(sink_to):
    sink = sink_to("127.0.0.1:1", "impressions", timeout_s=0.3)
    for _ in range(2):
        with pytest.raises(OSError, match=r"127.0.0.1:1, topic 'impressions': 1 of 1 messages not"):
            sink.write([shown(0)])


def test_silence_is_an_error_and_the_next_write_is_whole(tmp_path, sink_to):
    port = free_port()
    servers = f"127.0.0.1:{port}"
    with serving(tmp_path / "broker", port) as process:
        broker = Broker(servers)
        topic = broker.new_topic()
        sink = sink_to(servers, topic, timeout_s=3)
        sink.write([shown(0)])
        process.send_signal(signal.SIGSTOP)
        with pytest.raises(OSError, match="1 of 1 messages not delivered"):
            sink.write([shown(1)])
        process.send_signal(signal.SIGCONT)
        sink.write([shown(1), shown(2)])
        delivered = [message.value() for message in broker.messages(topic)]
    assert set(delivered) == {b"r0", b"r1", b"r2"}
    assert delivered.count(b"r0") == delivered.count(b"r2") == 1


def test_what_was_delivered_is_not_sent_again(broker, sink_to, monkeypatch):
    topic = broker.new_topic()
    sink = sink_to(broker.servers, topic)

    def send_but_the_last(sender, topic, messages, send=Sender.send):
        send(sender, topic, messages[:-1])
        raise NotDeliveredError("cut off", frozenset(range(len(messages) - 1)))

    with monkeypatch.context() as patch:
        patch.setattr(Sender, "send", send_but_the_last)
        with pytest.raises(NotDeliveredError):
            sink.write([shown(0), shown(1), shown(2)])
    sink.write([shown(0), shown(1), shown(2)])
    sink.write([shown(0)])
    values = [message.value() for message in broker.messages(topic)]
    assert values == [b"r0", b"r1", b"r2", b"r0"]


def test_message_that_no_broker_takes_is_named(broker):
    topic = broker.new_topic()
    sender = Sender(Connection(bootstrap_servers=broker.servers), 10)
    with pytest.raises(
        NotDeliveredError, match=r"1 of 2 messages not delivered.*too large"
    ) as caught:
        sender.send(topic, [Outgoing(b"a", b"small"), Outgoing(b"b", b"x" * 2_000_000)])
    assert caught.value.delivered == {0}
