"""What is known of users when they ask: one call, one state per user."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, Protocol

import polars as pl

from recsys_kedro.serving.snapshot import ServingSnapshot

NOBODY: Final = b""  # the token of everybody of whom nothing is known


@dataclass(frozen=True)
class UserContent:
    """What a store has of one user.

    Attributes:
        history: past events with ``HISTORY_COLUMNS``, newest last.
        profile: user features by name, without the id; empty where the user is unknown.
        degraded: why it may be less than was stored, or None.
    """

    history: pl.DataFrame
    profile: Mapping[str, Any]
    degraded: str | None = None


@dataclass(frozen=True)
class UserState:
    """One user as a store has it. It is decoded when somebody looks, so not for a cached list.

    Attributes:
        user_id: who.
        token: changes when the content does; :data:`NOBODY` where nothing is known.
        read: decodes the content.
        slot: the key in Redis at which a list for this user and request is kept, if any.
        cached: what lay at the keys where such a list may be kept.
    """

    user_id: str
    token: bytes
    read: Callable[[], UserContent] = field(repr=False, compare=False)
    slot: bytes | None = None
    cached: tuple[bytes, ...] = field(default=(), repr=False)

    @cached_property
    def content(self) -> UserContent:
        """All of it, decoded once."""
        return self.read()

    @property
    def history(self) -> pl.DataFrame:
        """Past events with ``HISTORY_COLUMNS``, newest last."""
        return self.content.history

    @property
    def profile(self) -> Mapping[str, Any]:
        """User features by name, without the id; empty where the user is unknown."""
        return self.content.profile

    @property
    def degraded(self) -> str | None:
        """Why the content may be less than was stored, or None."""
        return self.content.degraded


class OnlineStore(Protocol):
    """Where histories and profiles come from when a request is answered."""

    def fetch(
        self, user_ids: Sequence[str], request_hashes: Sequence[bytes] | None = None
    ) -> list[UserState]:
        """One state per user, in their order; it never raises.

        Args:
            user_ids: who asks; may repeat.
            request_hashes: of their requests, see ``cache.request_hash``. A store that shares
                its server with the cache fetches cached lists on the same trip.
        """


@dataclass(frozen=True)
class SnapshotStore:
    """The snapshot that came with the model, as a store."""

    snapshot: ServingSnapshot

    def fetch(
        self, user_ids: Sequence[str], request_hashes: Sequence[bytes] | None = None
    ) -> list[UserState]:
        """See :meth:`OnlineStore.fetch`; there are no cached lists here."""
        return [self.state(user) for user in user_ids]

    def state(self, user_id: str) -> UserState:
        """One user. The token names the snapshot's time, since nothing else changes it."""
        history, profile = self.snapshot.history(user_id), self.snapshot.profile(user_id)
        known = profile or not history.is_empty()
        token = f"{self.snapshot.as_of.isoformat()} {user_id}".encode() if known else NOBODY
        return UserState(user_id, token, lambda: UserContent(history, profile))
