"""A broker of the Kafka protocol: the environment's, else noida-db, which comes as a wheel."""

import os
from importlib.resources import files
from itertools import count

import orjson
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from servers.processes import free_port, running

ADDRESS = "KAFKA_BOOTSTRAP_SERVERS"
DEADLINE_S = 20


class Broker:
    """A broker, and what a test does to its topics."""

    def __init__(self, servers):
        self.servers = servers
        self._settings = {"bootstrap.servers": servers, "log_level": 2}
        self._admin = AdminClient(self._settings)
        self._numbers = count()

    def new_topic(self, partitions=1):
        """A topic that no other test has."""
        topic = f"recsys-{os.getpid()}-{next(self._numbers)}"
        self.create(topic, partitions)
        return topic

    def create(self, topic, partitions=1):
        for done in self._admin.create_topics([NewTopic(topic, partitions, 1)]).values():
            done.result(DEADLINE_S)

    def delete(self, topic):
        for done in self._admin.delete_topics([topic]).values():
            done.result(DEADLINE_S)

    def send(self, topic, *values, partition=0):
        """Bytes and None as they are; anything else as its JSON."""
        producer = Producer({**self._settings, "linger.ms": 1})
        for value in values:
            is_raw = value is None or isinstance(value, bytes)
            producer.produce(topic, value if is_raw else orjson.dumps(value), partition=partition)
        assert producer.flush(DEADLINE_S) == 0

    def forget(self, topic, before, partition=0):
        """Drop the messages before an offset, as retention does."""
        place = TopicPartition(topic, partition, before)
        for done in self._admin.delete_records([place]).values():
            done.result(DEADLINE_S)

    def messages(self, topic):
        """All of partition 0."""
        consumer = self._consumer("reader")
        place = TopicPartition(topic, 0, 0)
        consumer.assign([place])
        number = consumer.get_watermark_offsets(place, DEADLINE_S)[1]
        found = consumer.consume(number, DEADLINE_S)
        consumer.close()
        assert len(found) == number
        return found

    def committed(self, topic, group, partition=0):
        """The group's next offset; negative where it has none."""
        consumer = self._consumer(group)
        (place,) = consumer.committed([TopicPartition(topic, partition)], DEADLINE_S)
        consumer.close()
        return place.offset

    def _consumer(self, group):
        return Consumer({**self._settings, "group.id": group, "enable.auto.commit": False})


def serving(folder, port):
    """Runs a broker as long as the block; it keeps its messages in ``folder`` beyond that."""
    binary = files("noida_db").joinpath("noida-db")
    os.chmod(str(binary), 0o755)  # a wheel does not keep the mode
    folder.mkdir(exist_ok=True)
    command = [str(binary), "start", "--data-dir", str(folder / "data"), "--only", "kafka"]
    return running([*command, "--kafka-port", str(port)], port, folder / "log")


@pytest.fixture(scope="session")
def broker(tmp_path_factory):
    """One that answers."""
    if ADDRESS in os.environ:
        yield Broker(os.environ[ADDRESS])
        return
    port = free_port()
    with serving(tmp_path_factory.mktemp("broker"), port):
        yield Broker(f"127.0.0.1:{port}")
