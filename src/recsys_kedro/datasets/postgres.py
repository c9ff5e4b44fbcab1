"""A table in PostgreSQL, read in full or by what has changed."""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from io import BytesIO
from typing import Any, NoReturn

import polars as pl
from kedro.io import AbstractDataset, DatasetError

from recsys_kedro import columns as c
from recsys_kedro.datasets import postgres_copy
from recsys_kedro.datasets.filesystem import located

STATE = "recsys_kedro.state"  # key in the metadata of the cached Parquet

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _State:
    """A table as it was read last.

    Attributes:
        rows: all of them.
        read_at: the server's clock when they were read, UTC.
        loads: how many loads after the last full one read only what had changed.
    """

    rows: pl.DataFrame
    read_at: datetime
    loads: int


class _Cache:
    """Keeps the last state of a table in one Parquet file."""

    def __init__(self, filepath: str, full_refresh_every: int) -> None:
        self._fs, self._path = located(filepath)
        self._full_refresh_every = full_refresh_every

    def read(self, source: str, types: Mapping[str, pl.DataType]) -> _State | None:
        """The last state, unless it is of another source or a full read is due."""
        if not self._fs.exists(self._path):
            return None
        content = self._fs.cat_file(self._path)
        kept = json.loads(pl.read_parquet_metadata(BytesIO(content)).get(STATE, "{}"))
        if kept.get("source") != source or kept["loads"] + 1 >= self._full_refresh_every:
            return None
        rows = pl.read_parquet(BytesIO(content))
        if list(rows.schema.items()) != list(types.items()):
            return None
        return _State(rows, datetime.fromisoformat(kept["read_at"]), kept["loads"])

    def write(self, source: str, state: _State) -> None:
        """Keep the state, in one piece."""
        kept = {"source": source, "read_at": state.read_at.isoformat(), "loads": state.loads}
        content = BytesIO()
        state.rows.write_parquet(content, metadata={STATE: json.dumps(kept)})
        self._fs.pipe_file(self._path, content.getvalue())


class PostgresTable(AbstractDataset[NoReturn, pl.DataFrame]):
    """Reads a table as a Polars frame, sorted by its key, with ``source_row``; cannot be saved.

    Numbers, truth values, dates and times keep their kind: a time with a zone is UTC, one
    without stays without. Everything else is text, JSON included.

    With ``updated_at`` and ``cache`` only the rows that changed since the last load are read,
    and those of the last ``overlap_minutes`` before it again, since a long transaction shows
    its rows late. Rows that were deleted go with the next full read.

    Example in a catalog::

        raw_products:
          type: recsys_kedro.datasets.postgres.PostgresTable
          table: shop.products
          key: product_id
          updated_at: updated_at
          cache: s3://bucket/shop/01_raw/products.parquet
          credentials: {url: "${oc.env:RECSYS_POSTGRES_URL,null}"}
    """

    def __init__(
        self,
        *,
        table: str,
        key: str,
        columns: list[str] | None = None,
        updated_at: str | None = None,
        cache: str | None = None,
        overlap_minutes: float = 15,
        full_refresh_every: int = 7,
        credentials: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Name the table.

        Args:
            table: its name, or ``schema.name``.
            key: the column that no two rows share.
            columns: what is read besides; empty: every column.
            updated_at: the column with the time of a row's last change; empty: always in full.
            cache: Parquet file of the last state, on any filesystem that fsspec knows.
            overlap_minutes: longer than any transaction that writes to the table.
            full_refresh_every: of so many loads one reads the whole table; 1: each.
            credentials: ``url``, ``postgresql://user:password@host:port/database?sslmode=…``.
            metadata: kept for Kedro's plugins.

        Raises:
            DatasetError: only one of ``updated_at`` and ``cache`` is given.
        """
        if (updated_at is None) != (cache is None):
            msg = f"'{table}': updated_at and cache go together; give both or none"
            raise DatasetError(msg)
        self._table = table
        self._key = key
        self._columns = columns
        self._updated_at = updated_at
        self._cache = None if cache is None else _Cache(cache, full_refresh_every)
        self._overlap = timedelta(minutes=overlap_minutes)
        self._url = (credentials or {}).get("url")
        self.metadata = metadata

    def load(self) -> pl.DataFrame:
        """The table as it is now.

        Raises:
            DatasetError: no server, no access, no such table or column; names all three.
        """
        with postgres_copy.reading(self._url, self._table) as (connection, address):
            types = self._types(postgres_copy.column_types(connection, self._table), address)
            read_at = postgres_copy.server_time(connection)
            source = json.dumps([address, self._table, self._key, self._updated_at])
            last = None if self._cache is None else self._cache.read(source, types)
            changed = None if last is None else self._changed_since(last)
            rows = postgres_copy.copy_rows(connection, self._table, types, changed)
        if last is not None:
            logger.info("%s: %d of %d rows read.", self._table, rows.height, last.rows.height)
            kept = last.rows.join(rows, on=self._key, how="anti")
            rows = pl.concat([kept, rows])
        rows = rows.sort(self._key)
        if self._cache is not None:
            self._check_key(rows)
            self._cache.write(source, _State(rows, read_at, 0 if last is None else last.loads + 1))
        return rows.with_row_index(c.SOURCE_ROW, offset=1).cast({c.SOURCE_ROW: pl.Int64})

    def save(self, data: NoReturn) -> NoReturn:
        """Refused: raw tables are read only."""
        msg = f"'{self._table}': raw tables are read only"
        raise DatasetError(msg)

    def _types(self, there: Mapping[str, pl.DataType], address: str) -> dict[str, pl.DataType]:
        """Of the columns that are to be read; all of them are there and fit their purpose."""
        purposes = {self._key, *([] if self._updated_at is None else [self._updated_at])}
        needed = purposes | set(there if self._columns is None else self._columns)
        missing = sorted(needed - set(there))
        if missing:
            msg = (
                f"'{self._table}' in PostgreSQL at {address} has no column '{missing[0]}', "
                f"only {', '.join(there)}"
            )
            raise DatasetError(msg)
        if self._updated_at is not None and not isinstance(there[self._updated_at], pl.Datetime):
            msg = f"'{self._table}': updated_at is '{self._updated_at}', whose values are not times"
            raise DatasetError(msg)
        return {name: dtype for name, dtype in there.items() if name in needed}

    def _changed_since(self, last: _State) -> tuple[str, datetime] | None:
        """The last change that was seen, less the overlap; a change in the future is no guide."""
        column = str(self._updated_at)
        seen = last.rows[column].max()
        if not isinstance(seen, datetime):
            return None
        read_at = last.read_at if seen.tzinfo else last.read_at.replace(tzinfo=None)
        return column, min(seen, read_at) - self._overlap

    def _check_key(self, rows: pl.DataFrame) -> None:
        bad = rows[self._key].is_duplicated() | rows[self._key].is_null()
        if bad.any():
            msg = (
                f"'{self._table}': '{self._key}' is no key: {bad.sum()} rows share its value or "
                f"have none (first: {rows[self._key].filter(bad)[0]!r}). Name the column that is"
            )
            raise DatasetError(msg)

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, Any]:
        return {"table": self._table, "key": self._key, "updated_at": self._updated_at}
