"""The online store in Redis: what the pipeline knows of a user, and what happened since.

An event that was fed counts in the user's next request, in every worker. Whatever is wrong with
Redis or with what lies in it, the snapshot that came with the model answers in its place, and
the state says so.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

import polars as pl
from pydantic import ValidationError

from recsys_kedro import columns as c
from recsys_kedro.serving.redis_link import Command, RedisLink
from recsys_kedro.serving.store import NOBODY, SnapshotStore, UserContent, UserState
from recsys_kedro.serving.user_record import (
    StoredEvent,
    UserRecord,
    columns_of,
    events_key,
    history_frame,
    micros,
    record_type,
    user_key,
)

STORE_DOWN: Final = "store_down"  # Redis does not answer
NOT_STORED: Final = "not_stored"  # Redis has lost, or never had, a user of the snapshot
GARBAGE: Final = "garbage"  # what lies there was not written by us
TOKEN_BYTES = 16


class RedisStore:
    """Users out of Redis, with the model's own snapshot to fall back on."""

    def __init__(self, link: RedisLink, shop: str, fallback: SnapshotStore) -> None:
        """Nothing is asked yet, so Redis may be down.

        Args:
            link: to Redis; its breaker may be shared with the cache.
            shop: whose users, part of every key.
            fallback: answers for users that Redis does not have, or has older than this.
        """
        self._link, self._shop, self._fallback = link, shop, fallback
        self._as_of = micros(fallback.snapshot.as_of)
        profiles = fallback.snapshot.profiles.drop(c.USER_ID)
        self._record_type = record_type(profiles.schema)

    def fetch(
        self, user_ids: Sequence[str], request_hashes: Sequence[bytes] | None = None
    ) -> list[UserState]:
        """See ``OnlineStore.fetch``; one trip to Redis for all users, or none while it is down."""
        hashes = request_hashes or [b""] * len(user_ids)
        slots = [self._slots(*asked) for asked in zip(user_ids, hashes, strict=True)]
        commands = [self._commands(user, own) for user, own in zip(user_ids, slots, strict=True)]
        replies = self._link.ask([command for group in commands for command in group])
        if replies is None:
            return [self._standing_in(user) for user in user_ids]
        each = iter(replies)
        return [
            self._state(user, own, [next(each) for _ in group])
            for user, own, group in zip(user_ids, slots, commands, strict=True)
        ]

    def _slots(self, user_id: str, request_hash: bytes) -> tuple[bytes, ...]:
        """The user's own key for a cached list, and the one of users of whom nothing is known."""
        if not request_hash:
            return ()
        names = (f"recsys:{self._shop}:list:{who}:" for who in (user_id, ""))
        return tuple(name.encode() + request_hash.hex().encode() for name in names)

    def _commands(self, user_id: str, slots: tuple[bytes, ...]) -> list[Command]:
        lists: list[Command] = [("MGET", *slots)] if slots else []
        return [
            ("GET", user_key(self._shop, user_id)),
            ("ZRANGE", events_key(self._shop, user_id), 0, -1),
            *lists,
        ]

    def _standing_in(self, user_id: str) -> UserState:
        state = self._fallback.state(user_id)
        return replace(state, read=lambda: replace(state.content, degraded=STORE_DOWN))

    def _state(self, user_id: str, slots: tuple[bytes, ...], replies: Sequence[Any]) -> UserState:
        record, events, *lists = replies
        token = self._token(user_id, record, events)
        own, shared = slots or (None, None)
        return UserState(
            user_id,
            token,
            partial(self._content, user_id, record, events),
            shared if token == NOBODY else own,
            tuple(entry for found in lists if isinstance(found, list) for entry in found if entry),
        )

    def _token(self, user_id: str, record: Any, events: Any) -> bytes:
        """A fingerprint of what Redis has, undecoded; of the snapshot where that is nothing."""
        if not record and not events:
            return self._fallback.state(user_id).token
        digest = hashlib.blake2b(user_id.encode(), digest_size=TOKEN_BYTES)
        for part in (record, *(events if isinstance(events, list) else (events,))):
            raw = part if isinstance(part, bytes) else repr(part).encode()
            digest.update(len(raw).to_bytes(8))
            digest.update(raw)
        return digest.digest()

    def _content(self, user_id: str, raw_record: Any, raw_events: Any) -> UserContent:
        """The newer of record and snapshot, and what happened since."""
        record = self._record(user_id, raw_record)
        if record is None or record.as_of < self._as_of:
            stored = self._fallback.state(user_id)
            recent, all_sound = self._recent(user_id, raw_events, self._as_of)
            history, profile = stored.history, stored.profile
            if recent:
                history = pl.concat([history, history_frame(columns_of(recent))])
        else:
            recent, all_sound = self._recent(user_id, raw_events, record.as_of)
            history = history_frame(vars(record.history), columns_of(recent))
            profile = {} if record.profile is None else record.profile.model_dump()
        degraded = None
        if not all_sound or (record is None and raw_record is not None):
            degraded = GARBAGE
        elif record is None and self._fallback.state(user_id).token != NOBODY:
            degraded = NOT_STORED
        return UserContent(history, profile, degraded)

    def _record(self, user_id: str, raw: Any) -> UserRecord | None:
        if raw is None:
            return None
        try:
            return self._record_type.model_validate_json(raw)
        except ValidationError as error:
            problem = error if isinstance(raw, bytes) else raw
            self._report_garbage(user_key(self._shop, user_id), problem)
            return None

    def _recent(self, user_id: str, raw: Any, as_of: int) -> tuple[list[StoredEvent], bool]:
        """Sound events at or after ``as_of``, each once, newest last; whether all are sound."""
        events: dict[str | bytes, StoredEvent] = {}
        problem = None if isinstance(raw, list) else raw
        for entry in raw if isinstance(raw, list) else ():
            try:
                event = StoredEvent.model_validate_json(entry)
            except ValidationError as error:
                problem = error
                continue
            if event.timestamp >= as_of:
                events[event.event_id or entry] = event
        if problem is not None:
            self._report_garbage(events_key(self._shop, user_id), problem)
        return sorted(events.values(), key=lambda event: event.timestamp), problem is None

    def _report_garbage(self, key: bytes, problem: Any) -> None:
        if isinstance(problem, ValidationError):  # in words that do not repeat what lies there
            problem = problem.errors(include_url=False, include_input=False)[0]["msg"]
        self._link.report(GARBAGE, "Redis: %.100r holds what we did not write (%s)", key, problem)
