"""Events as they happen, into the online store: each counts in the user's next request.

Feeding is idempotent: the same event lands on itself, so a broker that delivers at least once
can replay as it likes.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import redis
from pydantic import AliasChoices, AliasPath, BaseModel, ConfigDict, Field, ValidationError

from recsys_kedro.options import Options
from recsys_kedro.serving.redis_link import Command, send
from recsys_kedro.serving.requests import EventTypeName, Text, Time
from recsys_kedro.serving.user_record import StoredEvent, events_key, micros

MOST_EXAMPLES = 100
MOST_SHOWN = 500  # characters of a rejected event


class FeedOptions(Options):
    """How events are kept until the pipeline has them."""

    newest_events: int = Field(500, ge=1, description="kept per user")
    ttl_days: float = Field(40, gt=0, description="a user's events go so long after the last one")
    batch_events: int = Field(1_000, ge=1, description="sent on one trip to Redis")


class FedEvent(BaseModel):
    """One event of the shop: the columns of the events table, flat or with a ``context``."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    event_id: Text | None = None
    event_type: EventTypeName
    user_id: Text = Field(min_length=1)
    product_id: Text = Field(min_length=1)
    timestamp: Time = Field(description="ISO 8601 or a datetime; UTC where it names no zone")
    session_id: Text | None = None
    price: float | None = Field(
        None,
        ge=0,
        allow_inf_nan=False,
        validation_alias=AliasChoices("price", AliasPath("context", "price")),
    )
    quantity: float = Field(1, ge=0, allow_inf_nan=False)

    def stored(self) -> StoredEvent:
        """As it lies in the store, under its user's key."""
        fields = self.model_dump(exclude={"user_id", "timestamp"})
        return StoredEvent(timestamp=micros(self.timestamp), **fields)


class RejectedEvent(BaseModel):
    """An event that was refused: its place among the events, why, and the start of it."""

    model_config = ConfigDict(frozen=True)

    place: int
    reason: str
    event: str


class FeedReport(BaseModel):
    """What became of the events; ``rejected`` counts by reason, ``examples`` are the first."""

    model_config = ConfigDict(frozen=True)

    accepted: int
    rejected: dict[str, int]
    examples: list[RejectedEvent]


Numbered = tuple[int, Mapping[str, Any]]


def feed_events(
    client: redis.Redis, shop: str, events: Iterable[Mapping[str, Any]], options: FeedOptions
) -> FeedReport:
    """Check the events and keep the newest of each user, by their time.

    Args:
        client: see ``redis_link.connect``.
        shop: whose users, part of every key.
        events: see :class:`FedEvent`; they are taken one batch at a time.
        options: what is kept.

    Raises:
        redis.RedisError: if Redis does not answer; feed the events again.
    """
    accepted, rejected = 0, Counter[str]()
    examples: list[RejectedEvent] = []
    for batch in _batches(events, options.batch_events):
        sound, refused = _checked(batch)
        refused += _fed(client, shop, sound, options)
        accepted += len(batch) - len(refused)
        rejected.update(one.reason for one in refused)
        examples += refused[: MOST_EXAMPLES - len(examples)]
    return FeedReport(accepted=accepted, rejected=dict(rejected), examples=examples)


def _batches(events: Iterable[Mapping[str, Any]], size: int) -> Iterator[list[Numbered]]:
    numbered = enumerate(events)
    while batch := list(islice(numbered, size)):
        yield batch


def _checked(
    batch: Sequence[Numbered],
) -> tuple[list[tuple[Numbered, FedEvent]], list[RejectedEvent]]:
    """The events that can be stored, each beside what it was made from; and the others."""
    sound, refused = [], []
    for numbered in batch:
        try:
            sound.append((numbered, FedEvent.model_validate(numbered[1])))
        except ValidationError as error:
            problem = error.errors(include_url=False, include_input=False)[0]
            where = str(problem["loc"][0]) if problem["loc"] else "event"
            refused.append(_rejected(numbered, f"{where}: {problem['msg']}"))
    return sound, refused


def _fed(
    client: redis.Redis,
    shop: str,
    sound: Sequence[tuple[Numbered, FedEvent]],
    options: FeedOptions,
) -> list[RejectedEvent]:
    """Send the events, user by user, on one trip; those that Redis refused."""
    by_user: dict[str, list[tuple[Numbered, FedEvent]]] = {}
    for numbered, event in sound:
        by_user.setdefault(event.user_id, []).append((numbered, event))
    commands: list[Command] = []
    for user, mine in by_user.items():
        key = events_key(shop, user)
        stored = [event.stored() for _, event in mine]
        members = [part for e in stored for part in (e.timestamp, e.model_dump_json())]
        commands += [
            ("ZADD", key, *members),
            ("ZREMRANGEBYRANK", key, 0, -options.newest_events - 1),
            ("PEXPIRE", key, int(options.ttl_days * 86_400_000)),
        ]
    replies = send(client, commands)[::3] if commands else []
    return [
        _rejected(numbered, f"Redis: {reply}")
        for reply, mine in zip(replies, by_user.values(), strict=True)
        if isinstance(reply, redis.RedisError)
        for numbered, _ in mine
    ]


def _rejected(numbered: Numbered, reason: str) -> RejectedEvent:
    place, event = numbered
    return RejectedEvent(place=place, reason=reason, event=repr(event)[:MOST_SHOWN])
