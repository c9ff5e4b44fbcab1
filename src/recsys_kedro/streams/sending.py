"""Messages to a broker, each delivered when the call returns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from recsys_kedro.streams.broker import POLL_S, Trouble, producer
from recsys_kedro.streams.options import Connection

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Message, Producer

LINGER_MS = 5  # waits so long for more to go on the same trip


@dataclass(frozen=True)
class Outgoing:
    """A message: ``key`` decides the partition, if there is one, ``value`` is what it says."""

    key: bytes | None
    value: bytes | None
    headers: Mapping[str, bytes] = field(default_factory=dict)


class NotDeliveredError(OSError):
    """Some messages were not acknowledged in time; they may arrive none the less.

    Attributes:
        delivered: positions of those that were, in what was to be sent.
    """

    def __init__(self, message: str, delivered: frozenset[int]) -> None:
        """Say what happened.

        Args:
            message: for people.
            delivered: see the class.
        """
        super().__init__(message)
        self.delivered = delivered


class Sender:
    """An idempotent producer: what it repeats by itself arrives once, in order per key."""

    def __init__(self, connection: Connection, timeout_s: float) -> None:
        """Nothing is asked yet, so the broker may be down.

        Args:
            connection: to the broker.
            timeout_s: for the delivery of what one call sends, seconds.
        """
        self._connection, self._timeout_s = connection, timeout_s
        self._producer: Producer | None = None

    def send(self, topic: str, messages: Sequence[Outgoing]) -> None:
        """Deliver all of them to every replica that has to have them.

        Raises:
            NotDeliveredError: not all were acknowledged in time.
        """
        delivery = _Delivery()
        sent = self._producer = self._producer or self._connected()
        for place, message in enumerate(messages):
            self._enqueue(sent, topic, message, delivery, place)
        sent.flush(self._timeout_s + 1)
        if len(delivery.delivered) == len(messages):
            return
        # What is on its way must not arrive after the caller's next try; the next one is a new
        # producer, since an idempotent one may not leave out what it has numbered.
        sent.purge()
        self._producer = None
        msg = (
            f"{self._connection.bootstrap_servers}, topic '{topic}': "
            f"{len(messages) - len(delivery.delivered)} of {len(messages)} messages not delivered: "
            f"{delivery.problem}"
        )
        raise NotDeliveredError(msg, frozenset(delivery.delivered))

    def close(self) -> None:
        """Let go of the connection; everything was delivered before."""
        self._producer = None

    def _connected(self) -> "Producer":
        settings = {
            "enable.idempotence": True,
            "error_cb": Trouble(self._connection.bootstrap_servers),
            "delivery.timeout.ms": max(int(self._timeout_s * 1000), LINGER_MS + 1),
            "linger.ms": LINGER_MS,
        }
        return producer(self._connection, settings)

    def _enqueue(
        self, sent: "Producer", topic: str, message: Outgoing, delivery: "_Delivery", place: int
    ) -> None:
        """Hand it over; where the library has too much waiting, wait for some to be delivered."""
        from confluent_kafka import KafkaException

        while True:
            try:
                sent.produce(
                    topic,
                    message.value,
                    message.key,
                    headers=dict(message.headers),
                    on_delivery=partial(delivery.heard, place),
                )
            except BufferError:
                sent.poll(POLL_S)
            except KafkaException as error:
                delivery.problem = error.args[0].str()
                return
            else:
                return


class _Delivery:
    """What is known of the messages of one call."""

    def __init__(self) -> None:
        self.delivered: set[int] = set()
        self.problem = "no answer"

    def heard(self, place: int, error: "KafkaError | None", _: "Message") -> None:
        """Called by the library, once per message."""
        if error is None:
            self.delivered.add(place)
        else:
            self.problem = error.str()
