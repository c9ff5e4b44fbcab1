"""The log of what was shown, as a stream: one message per answer.

Not one per product: an answer arrives whole or not at all, which is what attribution and
off-policy estimates need, and ten products cost one message. The key is the user, so that the
answers for a user stay in order.
"""

from collections.abc import Callable, Sequence

from recsys_kedro.serving.impressions import ShownAnswer
from recsys_kedro.streams.options import Connection
from recsys_kedro.streams.sending import NotDeliveredError, Outgoing, Sender


class KafkaImpressions:
    """An ``ImpressionSink`` that sends to a topic.

    An answer that was acknowledged is not sent again when its batch has to be. One whose
    acknowledgement was lost is: readers tell it by its ``recommendation_id``.
    """

    def __init__(
        self,
        connection: Connection,
        topic: str,
        timeout_s: float,
        encode: Callable[[ShownAnswer], bytes],
    ) -> None:
        """Nothing is asked yet, so the broker may be down.

        Args:
            connection: to the broker.
            topic: must exist, or the broker must make topics by itself.
            timeout_s: for the delivery of what one :meth:`write` takes, seconds.
            encode: the message of an answer.
        """
        self._sender, self._topic, self._encode = Sender(connection, timeout_s), topic, encode
        self._delivered: set[str] = set()

    def write(self, shown: Sequence[ShownAnswer]) -> None:
        """See ``ImpressionSink.write``."""
        rest = [one for one in shown if one.answer.recommendation_id not in self._delivered]
        messages = [Outgoing(_user(one), self._encode(one)) for one in rest]
        try:
            self._sender.send(self._topic, messages)
        except NotDeliveredError as error:
            self._delivered.update(
                rest[place].answer.recommendation_id for place in error.delivered
            )
            raise
        self._delivered.clear()

    def tend(self) -> None:
        """Nothing is due: what was written is delivered."""

    def close(self) -> None:
        """Let go of the connection."""
        self._sender.close()


def _user(shown: ShownAnswer) -> bytes | None:
    user = shown.answer.user_id
    return None if user is None else user.encode()
