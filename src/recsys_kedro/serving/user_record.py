"""How a user lies in Redis: JSON that is checked, value by value, when it is read.

Two keys per user, in which the shop's own ids may hold any character:

- ``recsys:<shop>:user:<id>``: a :class:`UserRecord`, written by the pipeline as of a time.
- ``recsys:<shop>:events:<id>``: a sorted set of :class:`StoredEvent`, by time, fed as they come.

Times are microseconds since 1970, UTC.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Self

import orjson
import polars as pl
from pydantic import BaseModel, ConfigDict, Field, create_model, model_validator

from recsys_kedro import columns as c
from recsys_kedro.queries import HISTORY_COLUMNS
from recsys_kedro.serving.requests import YEARS, EventTypeName
from recsys_kedro.serving.snapshot import NO_HISTORY

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
END = (datetime(YEARS.stop, 1, 1, tzinfo=UTC) - EPOCH) // MICROSECOND

Micros = Annotated[int, Field(ge=0, lt=END)]
Integer = Annotated[int, Field(ge=-(2**63), lt=2**63)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
PROFILE_TYPES: Mapping[type, Any] = {str: str, int: Integer, float: Finite, bool: bool}


def user_key(shop: str, user_id: str) -> bytes:
    """Where the record of a user lies."""
    return f"recsys:{shop}:user:{user_id}".encode()


def events_key(shop: str, user_id: str) -> bytes:
    """Where the recent events of a user lie."""
    return f"recsys:{shop}:events:{user_id}".encode()


def micros(time: datetime) -> int:
    """Microseconds since 1970; exact, which ``timestamp()`` is not."""
    return (time - EPOCH) // MICROSECOND


class Stored(BaseModel):
    """Strict, since a number that lies there as text was not written by us."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")


class StoredEvent(Stored):
    """One recent event."""

    event_id: str | None = None
    product_id: str
    event_type: EventTypeName
    timestamp: Micros
    session_id: str | None = None
    price: Amount | None = None
    quantity: Amount = 1.0


class StoredHistory(Stored):
    """Past events by column, newest last."""

    product_id: list[str]
    event_type: list[EventTypeName]
    timestamp: list[Micros]
    session_id: list[str | None]
    price: list[Amount | None]
    quantity: list[Amount]

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if len({len(column) for column in vars(self).values()}) > 1:
            msg = "columns of different lengths"
            raise ValueError(msg)
        if self.timestamp != sorted(self.timestamp):
            msg = "not sorted by time"
            raise ValueError(msg)
        return self


class UserRecord(Stored):
    """What the pipeline knows of a user: everything before ``as_of``."""

    as_of: Micros
    history: StoredHistory
    profile: BaseModel | None

    @model_validator(mode="after")
    def _is_past(self) -> Self:
        if self.history.timestamp and self.history.timestamp[-1] >= self.as_of:
            msg = "events at or after as_of"
            raise ValueError(msg)
        return self


def record_type(profile_schema: Mapping[str, pl.DataType]) -> type[UserRecord]:
    """The records whose profiles have exactly these features; a missing one is None.

    Raises:
        TypeError: if a feature is neither text, nor a number, nor a truth value.
    """
    fields: dict[str, Any] = {}
    for name, dtype in profile_schema.items():
        known = PROFILE_TYPES.get(dtype.to_python())
        if known is None:
            msg = f"profile: feature '{name}' is {dtype}; the online store holds text and numbers"
            raise TypeError(msg)
        fields[name] = (known | None, None)
    profile = create_model("Profile", __base__=Stored, **fields)
    return create_model("Record", __base__=UserRecord, profile=(profile | None, ...))


def encoded_record(
    as_of: datetime, history: Mapping[str, Sequence[Any]], profile: Mapping[str, Any] | None
) -> bytes:
    """The JSON of a record.

    Args:
        as_of: UTC; all events are before it.
        history: the history columns, times as microseconds, newest last.
        profile: user features; None where there are none.
    """
    past = {name: history[name] for name in HISTORY_COLUMNS}
    return orjson.dumps({"as_of": micros(as_of), "history": past, "profile": profile})


def columns_of(events: Sequence[StoredEvent]) -> dict[str, list[Any]]:
    """The history columns of events, in their order."""
    return {name: [getattr(event, name) for event in events] for name in HISTORY_COLUMNS}


def history_frame(*parts: Mapping[str, Sequence[Any]]) -> pl.DataFrame:
    """History columns, one part after the other, as a table; times come as microseconds."""
    table = []
    for name, dtype in NO_HISTORY.schema.items():
        values = [value for part in parts for value in part[name]]
        if name == c.TIMESTAMP:
            table.append(pl.Series(name, values, dtype=pl.Int64).cast(dtype))
        else:
            table.append(pl.Series(name, values, dtype=dtype))
    return pl.DataFrame(table)
