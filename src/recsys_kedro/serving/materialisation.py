"""From the tables of a run to Redis: every user's history and profile as of a time."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import polars as pl
import redis
from pydantic import BaseModel, ConfigDict, Field

from recsys_kedro import columns as c
from recsys_kedro.queries import HISTORY_COLUMNS
from recsys_kedro.serving.redis_link import Command, send
from recsys_kedro.serving.snapshot import ServingSnapshot
from recsys_kedro.serving.user_record import encoded_record, events_key, micros, user_key

NO_EVENTS: dict[str, list[Any]] = {name: [] for name in HISTORY_COLUMNS}


class Materialised(BaseModel):
    """What came of writing the users of a shop."""

    model_config = ConfigDict(frozen=True)

    as_of: datetime = Field(description="UTC; everything written is before it")
    users: int = Field(0, ge=0, description="users of the snapshot")
    written: int = Field(0, ge=0, description="of them in Redis now")
    bytes: int = Field(0, ge=0, description="of the records written, without Redis's own needs")
    refusals: dict[str, int] = Field(
        default_factory=dict, description="users not written, by what Redis said"
    )
    note: str = Field("", description="why nothing was written, where that is so")


def materialise(
    client: redis.Redis, shop: str, snapshot: ServingSnapshot, batch_users: int, ttl_days: float
) -> Materialised:
    """Write a record for every user of the snapshot; one trip to Redis per batch.

    Recent events before the snapshot's time are in the records now, so they are dropped. A
    record replaces the older one at once, so readers see the old or the new, never a part.

    Args:
        client: see ``redis_link.connect``.
        shop: whose users, part of every key.
        snapshot: histories and profiles.
        batch_users: bounds the memory, here and in Redis's buffers.
        ttl_days: a user who is in no later snapshot is forgotten after so long.

    Raises:
        redis.RedisError: if Redis does not answer; what was written before stays.
    """
    ids = pl.concat([snapshot.histories[c.USER_ID], snapshot.profiles[c.USER_ID]]).unique().sort()
    until, ttl_ms = f"({micros(snapshot.as_of)}", int(ttl_days * 86_400_000)
    written = bytes_ = 0
    refusals: dict[str, int] = {}
    for batch in ids.to_frame().iter_slices(batch_users):
        commands: list[Command] = []
        sizes = []
        for user, record in records(snapshot, batch[c.USER_ID]):
            commands.append(("SET", user_key(shop, user), record, "PX", ttl_ms))
            commands.append(("ZREMRANGEBYSCORE", events_key(shop, user), "-inf", until))
            sizes.append(len(record))
        for reply, size in zip(send(client, commands)[::2], sizes, strict=True):
            if isinstance(reply, redis.RedisError):
                refusals[str(reply)] = refusals.get(str(reply), 0) + 1
            else:
                written, bytes_ = written + 1, bytes_ + size
    return Materialised(
        as_of=snapshot.as_of, users=len(ids), written=written, bytes=bytes_, refusals=refusals
    )


def records(snapshot: ServingSnapshot, users: pl.Series) -> Iterator[tuple[str, bytes]]:
    """Each user with the JSON of the user's record.

    Args:
        snapshot: histories and profiles, sorted by user.
        users: sorted ids with none of the snapshot's left out between the first and the last.
    """
    times = pl.col(c.TIMESTAMP).cast(pl.Int64)
    by_user = _of_users(snapshot.histories, users).with_columns(times).group_by(c.USER_ID)
    histories = {row[c.USER_ID]: row for row in by_user.all().iter_rows(named=True)}
    profiles = {
        row.pop(c.USER_ID): row for row in _of_users(snapshot.profiles, users).iter_rows(named=True)
    }
    for user in users:
        history = histories.get(user, NO_EVENTS)
        yield user, encoded_record(snapshot.as_of, history, profiles.get(user))


def _of_users(table: pl.DataFrame, users: pl.Series) -> pl.DataFrame:
    """The rows of the first user to the last, of a table that is sorted by user."""
    ids = table[c.USER_ID]
    first = bisect_left(ids, users[0])
    return table.slice(first, bisect_right(ids, users[-1], first) - first)
