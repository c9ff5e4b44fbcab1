"""What a message says: events in columns of text, and dead letters with the reason.

Values stay text, as they do when CSV is read, and nested ones JSON text: so one message with
``"price": "ten"`` or ``"context": []`` cannot make the files of a topic disagree in their types.
"""

from collections.abc import Sequence
from io import BytesIO
from typing import Any

import orjson
import polars as pl

from recsys_kedro import columns as c
from recsys_kedro.streams.options import KAFKA_OFFSET, KAFKA_PARTITION, OTHER_FIELDS

MESSAGE = "message"
DEAD_LETTER = {
    KAFKA_PARTITION: pl.Int64,
    KAFKA_OFFSET: pl.Int64,
    c.REASON: pl.String,
    MESSAGE: pl.Binary,
}
EXACT = 2**53  # JSON's numbers are exact up to here


class UnusableError(ValueError):
    """A message that is no event; says ``<code>: <explanation>``."""


class EventFormat:
    """Which fields of a message get a column, and which it must have."""

    def __init__(self, fields: Sequence[str], required: Sequence[str]) -> None:
        """Remember the fields.

        Args:
            fields: that get a column each; all others go into ``other_fields``.
            required: among them.
        """
        self._known, self._required = frozenset(fields), tuple(required)
        self._schema = dict.fromkeys((*fields, OTHER_FIELDS), pl.String)

    def line(self, value: bytes | None) -> bytes:
        """The event as one JSON line with none but the known fields.

        Raises:
            UnusableError: it is no JSON object, or lacks a required field.
        """
        if value is None:
            msg = "empty: it has no value"
            raise UnusableError(msg)
        try:
            event = orjson.loads(value)
        except orjson.JSONDecodeError as error:
            msg = f"not_json: {error}"
            raise UnusableError(msg) from None
        if type(event) is not dict:
            msg = f"not_an_object: it is a JSON {type(event).__name__}"
            raise UnusableError(msg)
        for name in self._required:
            told = event.get(name)
            if type(told) is not str or not told.strip():
                _check_told(name, told)
        if self._known.issuperset(event) and b"\n" not in value and b"\r" not in value:
            return value
        others = {name: event.pop(name) for name in event.keys() - self._known}
        if others:
            event[OTHER_FIELDS] = orjson.dumps(others, option=orjson.OPT_SORT_KEYS).decode()
        return orjson.dumps(event)

    def table(self, lines: Sequence[bytes]) -> pl.DataFrame:
        """One row per line, in order: the known fields and ``other_fields``, all text.

        Args:
            lines: made by :meth:`line`.
        """
        try:
            table = self._parsed(lines)
        except pl.exceptions.PolarsError:
            table = pl.DataFrame()
        if table.height == len(lines) and not any(table[n].null_count() for n in self._required):
            return table
        # Two JSON parsers may differ on a key that comes twice; ours has judged the message.
        return self._parsed([orjson.dumps(orjson.loads(line)) for line in lines])

    def _parsed(self, lines: Sequence[bytes]) -> pl.DataFrame:
        if not lines:
            return pl.DataFrame(schema=self._schema)
        return pl.read_ndjson(BytesIO(b"\n".join(lines)), schema=self._schema)


def _check_told(name: str, value: Any) -> None:
    """Raises UnusableError unless a value that is no filled text is a usable number."""
    if value is None or isinstance(value, str):
        msg = f"no_{name}: it is missing or empty"
    elif isinstance(value, bool) or not isinstance(value, int | float):
        msg = f"no_{name}: it is neither text nor a number"
    elif isinstance(value, float) and abs(value) > EXACT:
        msg = f"no_{name}: the number has too many digits to be exact; send it as text"
    else:
        return
    raise UnusableError(msg)
