"""Ranked lists before exploration, kept for the next request that has to get the same.

A key holds all that a list depends on, so nothing has to be invalidated: an event of the user
changes the user's token, and with it the key. The key is known only when the user's state is
there, yet a list in Redis must not cost a second trip to it. So it lies at a *slot*, a name made
of the user and the request alone, which ``RedisStore.fetch`` reads together with the state;
the entry begins with the full key, and counts only where that is equal.
"""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from threading import Lock
from typing import Any, Protocol

import orjson

from recsys_kedro.serving.redis_link import RedisLink
from recsys_kedro.serving.requests import RecommendationRequest
from recsys_kedro.serving.store import UserState

HASH_BYTES = 16
# The user is told by the state's token; exploration comes after the cache; a session id is
# for the log.
NO_PART_OF_A_LIST: dict[str, bool | set[str]] = {
    "user_id": True,
    "exploration": True,
    "context": {"session_id"},
}


def request_hash(request: RecommendationRequest, made_by: Mapping[str, Any]) -> bytes:
    """(16 bytes) what a list depends on beside its user.

    The clock is no part of it, short of a time that the request names: lists go one by one as
    they grow old, not all at once at the end of a period.

    Args:
        request: as checked.
        made_by: model, version, version of the rules, defaults: any JSON.
    """
    asked = request.model_dump_json(exclude=NO_PART_OF_A_LIST).encode()
    made = orjson.dumps(made_by, option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(made + asked, digest_size=HASH_BYTES).digest()


def list_key(token: bytes, request_hash: bytes) -> bytes:
    """(16 bytes) all that a list depends on; users of whom nothing is known share theirs."""
    return hashlib.blake2b(request_hash + token, digest_size=HASH_BYTES).digest()


class ListCache(Protocol):
    """Keeps lists as bytes; it never raises."""

    def get(self, keys: Sequence[bytes], states: Sequence[UserState]) -> list[bytes | None]:
        """What was put under each key, for the user of each state; None where nothing is."""

    def put(
        self, keys: Sequence[bytes], lists: Sequence[bytes], states: Sequence[UserState]
    ) -> None:
        """Keep the lists, each made for the user of its state."""


class LocalCache:
    """In this process: the lists that were used last, each for a limited time. Thread-safe."""

    def __init__(
        self, size: int, seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Start empty.

        Args:
            size: lists; 0 keeps none.
            seconds: how long each is kept.
            clock: seconds; never goes back.
        """
        self._size, self._seconds, self._clock = size, seconds, clock
        self._entries: OrderedDict[bytes, tuple[float, bytes]] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, keys: Sequence[bytes], states: Sequence[UserState]) -> list[bytes | None]:
        """See :meth:`ListCache.get`."""
        with self._lock:
            return [self._get(key) for key in keys]

    def _get(self, key: bytes) -> bytes | None:
        expires, value = self._entries.get(key, (0.0, None))
        if value is None:
            return None
        if expires <= self._clock():
            del self._entries[key]
            return None
        self._entries.move_to_end(key)
        return value

    def put(
        self, keys: Sequence[bytes], lists: Sequence[bytes], states: Sequence[UserState]
    ) -> None:
        """See :meth:`ListCache.put`."""
        with self._lock:
            for key, value in zip(keys, lists, strict=True):
                self._entries[key] = (self._clock() + self._seconds, value)
                self._entries.move_to_end(key)
            while len(self._entries) > self._size:
                self._entries.popitem(last=False)


class RedisCache:
    """In Redis, for all workers; where Redis did not answer for a user, in this process."""

    def __init__(self, link: RedisLink, seconds: float, local: LocalCache) -> None:
        """Use the link of the store, so that one breaker speaks for both.

        Args:
            link: to Redis.
            seconds: how long each list is kept.
            local: for the states of a fallback, which have no slot.
        """
        self._link, self._seconds, self._local = link, seconds, local

    def get(self, keys: Sequence[bytes], states: Sequence[UserState]) -> list[bytes | None]:
        """See :meth:`ListCache.get`; asks nobody: the store has fetched the entries."""
        return [
            self._local.get([key], [state])[0] if state.slot is None else _matching(key, state)
            for key, state in zip(keys, states, strict=True)
        ]

    def put(
        self, keys: Sequence[bytes], lists: Sequence[bytes], states: Sequence[UserState]
    ) -> None:
        """See :meth:`ListCache.put`; one trip for all."""
        commands = []
        for key, value, state in zip(keys, lists, states, strict=True):
            if state.slot is None:
                self._local.put([key], [value], [state])
            else:
                commands.append(("SET", state.slot, key + value, "PX", int(self._seconds * 1000)))
        self._link.write(commands)


def _matching(key: bytes, state: UserState) -> bytes | None:
    """Of the entries at the user's slots the one that was made for exactly this key."""
    found = (entry[len(key) :] for entry in state.cached if entry.startswith(key))
    return next(found, None)
