"""``python -m recsys_kedro.streams.feeding``: events of a topic into the online store, for ever.

Offsets are committed after the store has the events, so each is fed at least once. The store
keeps an event that comes again on top of itself (see ``serving.event_feed``), so a crash, a
rebalance or a refused commit changes nothing in it.
"""

import logging
import signal
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from threading import Event
from time import monotonic
from typing import TYPE_CHECKING, Any

import orjson
import redis
from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from recsys_kedro.serving.event_feed import MOST_EXAMPLES, FeedOptions, FeedReport, feed_events
from recsys_kedro.serving.json_logs import configure_logging
from recsys_kedro.serving.redis_link import connect
from recsys_kedro.streams.broker import GroupReader
from recsys_kedro.streams.options import Connection, Setting, refuse_own_settings

if TYPE_CHECKING:
    from confluent_kafka import Message

LOGGER = logging.getLogger(__name__)

STORE_TIMEOUT_S = 30.0  # a whole batch of users is written on one trip
RETRY_AFTER_S = 1.0
TELL_EVERY_S = 60.0
FOR_EVER = "Redis: WRONGTYPE"  # what else Redis refuses (full, read-only, loading) may pass


class FeedingOptions(BaseSettings):
    """Options of one feeding process, from the environment: ``RECSYS_SHOP``, and so on."""

    model_config = SettingsConfigDict(
        env_prefix="RECSYS_", env_nested_delimiter="__", frozen=True, extra="ignore"
    )

    shop: str = Field(description="whose users, as in globals.shop")
    redis_url: SecretStr = Field(description="the online store that the servers read")
    kafka_bootstrap_servers: str = Field(description="host:port[,host:port …]")
    kafka_client: Mapping[str, Setting] = Field(
        default_factory=dict, description="JSON object of further settings, by librdkafka's names"
    )
    events_topic: str = Field("events", description="whose messages are fed")
    events_group: str = Field(
        "", description="processes of one group share the work; empty: recsys_feeding_<shop>"
    )
    feed: FeedOptions = Field(FeedOptions(), description="RECSYS_FEED__TTL_DAYS, and so on")
    json_logs: bool = Field(default=False, description="one JSON object a line on standard error")

    _own_settings = field_validator("kafka_client")(refuse_own_settings)

    @property
    def connection(self) -> Connection:
        """The way to the broker."""
        return Connection(bootstrap_servers=self.kafka_bootstrap_servers, client=self.kafka_client)


def feed(options: FeedingOptions, stop: Event) -> FeedReport:
    """Feed what comes, until ``stop`` is set; what was done by then.

    A broker or a store that is down is waited for.

    Raises:
        ModuleNotFoundError: the client library is not installed.
        ValueError: a client setting is wrong.
    """
    total = FeedReport(accepted=0, rejected={}, examples=[])
    tell_at = monotonic() + TELL_EVERY_S
    store = connect(options.redis_url.get_secret_value(), STORE_TIMEOUT_S)
    group = options.events_group or f"recsys_feeding_{options.shop}"
    reader = GroupReader(options.connection, options.events_topic, group)
    with closing(store), closing(reader):
        while not stop.is_set():
            messages = reader.take(options.feed.batch_events)
            report = _fed(store, options, messages, stop)
            if report is not None:
                reader.commit(messages)
                total = _sum(total, report)
            if monotonic() >= tell_at:
                LOGGER.info("fed %d events, refused %s", total.accepted, total.rejected)
                tell_at = monotonic() + TELL_EVERY_S
    return total


def _fed(
    store: redis.Redis, options: FeedingOptions, messages: "Sequence[Message]", stop: Event
) -> FeedReport | None:
    """What the store made of the messages; tried until it takes them, None if stopped before."""
    events = [_event(message.value()) for message in messages]
    while events:
        try:
            report = feed_events(store, options.shop, events, options.feed)
        except redis.RedisError as error:
            problem = str(error)
        else:
            problem = "; ".join(reason for reason in report.rejected if _may_pass(reason))
            if not problem:
                return report
        LOGGER.warning(
            "%s; %d events wait for Redis: %s", options.events_topic, len(events), problem
        )
        if stop.wait(RETRY_AFTER_S):
            break
    return None


def _may_pass(reason: str) -> bool:
    return reason.startswith("Redis: ") and not reason.startswith(FOR_EVER)


def _event(value: bytes | None) -> Any:
    """The JSON of a message; as it is where it is none, to be refused and counted."""
    try:
        return orjson.loads(value or b"")
    except orjson.JSONDecodeError:
        return value


def _sum(total: FeedReport, more: FeedReport) -> FeedReport:
    return FeedReport(
        accepted=total.accepted + more.accepted,
        rejected=dict(Counter(total.rejected) + Counter(more.rejected)),
        examples=[*total.examples, *more.examples][:MOST_EXAMPLES],
    )


def main() -> None:
    """Feed until SIGTERM or SIGINT."""
    options = FeedingOptions()
    logging.basicConfig(level=logging.INFO)
    if options.json_logs:
        configure_logging()
    stop = Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stop.set())
    report = feed(options, stop)
    LOGGER.info("stopped; fed %d events, refused %s", report.accepted, report.rejected)


if __name__ == "__main__":
    main()
