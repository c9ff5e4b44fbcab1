"""One Redis for store and cache: asked in single trips, within a time limit, behind a breaker."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from recsys_kedro.serving.circuit_breaker import CircuitBreaker
from recsys_kedro.serving.options import ServingOptions

LOGGER = logging.getLogger(__name__)

Command = tuple[bytes | str | int | float, ...]

FAILURES_TO_OPEN = 2  # so a Redis that hangs costs two requests their time limit, not all
MOST_CONNECTIONS = 64  # more than a server has threads that ask
QUIET_S = 60.0  # one warning of a kind in so many seconds


def connect(url: str, timeout_s: float) -> redis.Redis:
    """A client that waits ``timeout_s`` at most for a connection and for each answer.

    It connects when it is first asked, never retries, and talks RESP 2, which any server and
    its forks understand without a handshake.
    """
    pool = redis.BlockingConnectionPool.from_url(
        url,
        max_connections=MOST_CONNECTIONS,
        timeout=timeout_s,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=Retry(NoBackoff(), 0),
        protocol=2,
    )
    return redis.Redis(connection_pool=pool)


class RedisLink:
    """What a server asks Redis; a Redis in trouble costs freshness, never an answer.

    Attributes:
        breaker: holds calls back while Redis does not answer.
        troubles: how often each kind of trouble has come.
        tell: hears after each call whether the breaker is open, for the metrics.
    """

    def __init__(
        self,
        client: redis.Redis,
        breaker: CircuitBreaker,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing is asked yet, so Redis may be down.

        Args:
            client: see :func:`connect`.
            breaker: of this Redis alone.
            clock: seconds, for the pauses between warnings.
        """
        self.breaker = breaker
        self.troubles: Counter[str] = Counter()
        self.tell: Callable[[bool], None] = lambda _: None
        self._client, self._clock = client, clock
        self._quiet_until: dict[str, float] = {}

    @classmethod
    def of(cls, options: ServingOptions) -> "RedisLink | None":
        """The link that the options name; None where they name no Redis."""
        if not options.redis_url:
            return None
        client = connect(options.redis_url.get_secret_value(), options.redis_timeout_ms / 1000)
        return cls(client, CircuitBreaker(FAILURES_TO_OPEN, options.redis_retry_after_s))

    def ask(self, commands: Sequence[Command]) -> list[Any] | None:
        """The replies, all on one trip; None where Redis does not answer or is left alone.

        The reply to a command that Redis refuses is its ``ResponseError``.
        """
        if not commands:
            return []
        if not self.breaker.allows():
            return None
        try:
            replies = send(self._client, commands)
        except redis.RedisError as error:
            self.breaker.failed()
            self.tell(self.breaker.is_open)
            self.report("down", "Redis does not answer (%s); the snapshot does", error)
            return None
        self.breaker.succeeded()
        self.tell(self.breaker.is_open)
        return replies

    def write(self, commands: Sequence[Command]) -> None:
        """Send what may be lost, a cached list for one."""
        for reply in self.ask(commands) or ():
            if isinstance(reply, redis.RedisError):
                self.report("refused", "Redis refuses to write (%s)", reply)

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    def report(self, trouble: str, message: str, *about: object) -> None:
        """Count the trouble, and warn of it unless that was done just now."""
        self.troubles[trouble] += 1
        if self._clock() >= self._quiet_until.get(trouble, 0.0):
            self._quiet_until[trouble] = self._clock() + QUIET_S
            LOGGER.warning(message, *about)


def send(client: redis.Redis, commands: Sequence[Command]) -> list[Any]:
    """The replies to the commands, on one trip; a refused command's reply is its error.

    Raises:
        redis.RedisError: if the server does not answer in time, or something else answers.
    """
    pipeline = client.pipeline(transaction=False)
    for command in commands:
        pipeline.execute_command(*command)  # type: ignore[no-untyped-call]  # redis has none here
    replies: list[Any] = pipeline.execute(raise_on_error=False)
    return replies
