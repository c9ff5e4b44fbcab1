"""A broker of the Kafka protocol, through ``confluent-kafka``, which is an optional extra.

Nothing imports the library before a broker is asked for, so all else works without it.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, cast

from recsys_kedro.streams.options import Connection

if TYPE_CHECKING:
    from confluent_kafka import Consumer, KafkaError, Message, Producer

LOGGER = logging.getLogger(__name__)

AT_ONCE = 10_000  # messages handed over on one call
POLL_S = 0.2
QUIET_S = 60.0
LEAST_SECRET = 4  # characters; shorter settings may stand in an error
QUIET = {"log_level": 2, "log.connection.close": False}  # errors are raised, with what is to do


@dataclass(frozen=True)
class Span:
    """The offsets that a broker has of a partition: from ``low`` to before ``high``."""

    low: int
    high: int


class Trouble:
    """What the client library says went wrong: kept, and in the log once a minute."""

    def __init__(self, servers: str) -> None:
        self.text = "no answer"
        self._servers, self._quiet_until = servers, 0.0

    def __call__(self, error: "KafkaError") -> None:
        """A callback of the library: of errors that it goes on after."""
        self.text = error.str()
        if monotonic() >= self._quiet_until:
            self._quiet_until = monotonic() + QUIET_S
            LOGGER.warning("%s: %s", self._servers, self.text)


class TopicReader:
    """Reads a topic partition by partition; which offsets is for the caller to say."""

    def __init__(self, connection: Connection, topic: str, group: str, timeout_s: float) -> None:
        """Connect.

        Args:
            connection: to the broker.
            topic: what is read.
            group: under whose name offsets are committed.
            timeout_s: of every question, and of silence while reading, seconds.

        Raises:
            ModuleNotFoundError: the client library is not installed.
            ValueError: a client setting is wrong.
        """
        self._trouble = Trouble(connection.bootstrap_servers)
        self._consumer = consumer(
            connection,
            {
                "group.id": group,
                "enable.auto.commit": False,
                "auto.offset.reset": "error",
                "enable.partition.eof": True,
                "error_cb": self._trouble,
            },
        )
        self._servers, self._topic, self._timeout_s = connection.bootstrap_servers, topic, timeout_s

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._consumer.close()

    def spans(self) -> dict[int, Span]:
        """What the broker has of each partition now.

        Raises:
            ConnectionError: it does not answer.
            ValueError: it has no such topic.
        """
        from confluent_kafka import KafkaException, TopicPartition

        try:
            topics = self._consumer.list_topics(self._topic, self._timeout_s).topics
            if topics[self._topic].error is not None:
                msg = f"{self._servers} has no topic '{self._topic}': {topics[self._topic].error}"
                raise ValueError(msg)
            return {
                number: Span(
                    *self._consumer.get_watermark_offsets(
                        TopicPartition(self._topic, number), self._timeout_s, cached=False
                    )
                )
                for number in sorted(topics[self._topic].partitions)
            }
        except KafkaException as error:
            raise self._no_answer() from error

    def read(
        self, partition: int, start: int, end: int
    ) -> Iterator[list[tuple[int, bytes | None]]]:
        """Offset and value of the messages from ``start`` to before ``end`` in order.

        They come some at a time. Offsets may be missing: in compacted topics, and where
        transactions were aborted.

        Raises:
            ConnectionError: nothing comes for as long as the time limit.
            LookupError: the broker has dropped what comes next.
        """
        from confluent_kafka import TopicPartition

        self._consumer.assign([TopicPartition(self._topic, partition, start)])
        position, heard = start, monotonic()
        while position < end:
            batch = self._consumer.consume(min(AT_ONCE, end - position), POLL_S)
            messages = cast(
                list[tuple[int, bytes | None]],
                [(m.offset(), m.value()) for m in batch if m.error() is None],
            )
            if messages:
                position = messages[-1][0] + 1
                yield [one for one in messages if one[0] < end] if position > end else messages
                heard = monotonic()
            if len(messages) < len(batch) and self._at_end(batch, partition, position):
                break
            if monotonic() - heard > self._timeout_s:
                raise self._no_answer()

    def commit(self, offsets: Mapping[int, int]) -> None:
        """Tell the group's next offset of each partition, for monitoring.

        To be called when the broker has just answered: the library waits for one that is gone,
        minutes. A refusal is a warning, since nothing depends on it.
        """
        _commit(self._consumer, self._topic, offsets)

    def _at_end(self, batch: "Sequence[Message]", partition: int, position: int) -> bool:
        from confluent_kafka import KafkaError

        for error in filter(None, (message.error() for message in batch)):
            if error.code() == KafkaError._PARTITION_EOF:
                return True
            if error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
                msg = (
                    f"{self._topic}, partition {partition}: the broker has dropped offset "
                    f"{position} while it was waiting to be read. What is landed stays; land again"
                )
                raise LookupError(msg)
            self._trouble(error)
        return False

    def _no_answer(self) -> ConnectionError:
        self._consumer.poll(0)  # lets the library tell what it knows
        msg = (
            f"{self._servers}, topic '{self._topic}': {self._trouble.text} "
            f"({self._timeout_s:g} s). Is the broker up, and are the client settings right?"
        )
        return ConnectionError(msg)


class GroupReader:
    """One of a group of processes that share the partitions of a topic."""

    def __init__(self, connection: Connection, topic: str, group: str) -> None:
        """Join the group; one that is new begins with the oldest message.

        Raises:
            ModuleNotFoundError: the client library is not installed.
            ValueError: a client setting is wrong.
        """
        self._trouble = Trouble(connection.bootstrap_servers)
        self._consumer = consumer(
            connection,
            {
                "group.id": group,
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "error_cb": self._trouble,
            },
        )
        self._topic = topic
        self._consumer.subscribe([topic])

    def take(self, most: int) -> "list[Message]":
        """What there is, soon; after a second of silence nothing."""
        first = self._consumer.poll(1.0)
        if first is None:
            return []
        messages = [first, *self._consumer.consume(most - 1, 0)] if most > 1 else [first]
        for error in filter(None, (message.error() for message in messages)):
            self._trouble(error)
        return [message for message in messages if message.error() is None]

    def commit(self, messages: "Iterable[Message]") -> None:
        """They are done with. A refusal is a warning: they will come again."""
        done: dict[int, int] = {}
        for message in messages:
            done[cast(int, message.partition())] = cast(int, message.offset()) + 1
        _commit(self._consumer, self._topic, done)

    def close(self) -> None:
        """Leave the group."""
        self._consumer.close()


def consumer(connection: Connection, settings: Mapping[str, Any]) -> "Consumer":
    """A consumer that has not asked for anything yet.

    Raises:
        ModuleNotFoundError: the client library is not installed.
        ValueError: a setting is wrong.
    """
    made: Consumer = _opened("Consumer", connection, settings)
    return made


def producer(connection: Connection, settings: Mapping[str, Any]) -> "Producer":
    """A producer that has not sent anything yet; raises what :func:`consumer` does."""
    made: Producer = _opened("Producer", connection, settings)
    return made


def _commit(by: "Consumer", topic: str, offsets: Mapping[int, int]) -> None:
    from confluent_kafka import KafkaException, TopicPartition

    places = [TopicPartition(topic, *place) for place in offsets.items()]
    try:
        by.commit(offsets=places, asynchronous=False)
    except KafkaException as error:
        LOGGER.warning("%s: offsets are not committed: %s", topic, error.args[0].str())


def _opened(kind: str, connection: Connection, settings: Mapping[str, Any]) -> Any:
    try:
        import confluent_kafka
    except ModuleNotFoundError as error:
        msg = "a broker is configured, but no client: pip install 'recsys_kedro[kafka]'"
        raise ModuleNotFoundError(msg) from error
    theirs = {name: value.get_secret_value() for name, value in connection.client.items()}
    servers = {"bootstrap.servers": connection.bootstrap_servers}
    try:
        return getattr(confluent_kafka, kind)({**QUIET, **theirs, **servers, **settings})
    except confluent_kafka.KafkaException as error:
        msg = str(error.args[0].str())
        for secret in theirs.values():
            if len(secret) >= LEAST_SECRET:
                msg = msg.replace(secret, "…")
    raise ValueError(f"client settings of the broker: {msg}")
