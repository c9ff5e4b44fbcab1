"""A Parquet table that is written part by part and read as one."""

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem
from kedro.io import AbstractDataset, DatasetError
from kedro.validation.core import ValidatorSpec, resolve_validator

from recsys_kedro.datasets.filesystem import located
from recsys_kedro.one_ahead import one_ahead

ROWS_PER_GROUP = 262_144

Parts = pl.DataFrame | Iterable[pl.DataFrame]


class StreamedTable(AbstractDataset[Parts, pl.DataFrame]):
    """Saves a frame, or frames that come one after the other, as one Parquet file.

    Two parts are in memory at a time: one is written while the next is made. The file is
    written beside and swapped in, or sent at the end to an object store, so that a run that is
    killed or fails never leaves half of it.

    Example of a catalog entry::

        events:
          type: recsys_kedro.datasets.streamed_table.StreamedTable
          filepath: data/03_primary/events.parquet
          validator:
            class: recsys_kedro.datasets.streamed_table.EachPart
            options: {schema: recsys_kedro.schemas.EVENTS}
    """

    def __init__(
        self,
        *,
        filepath: str,
        load_args: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Name the file.

        Args:
            filepath: on any filesystem that fsspec knows.
            load_args: passed on to ``polars.read_parquet``.
            metadata: ignored here; read by plugins such as Kedro-Viz.
        """
        self._filepath = filepath
        self._fs, self._path = located(filepath)
        self._load_args = load_args or {}
        self.metadata = metadata

    def load(self) -> pl.DataFrame:
        """The whole table."""
        self._fs.invalidate_cache()  # another process may have written it
        with self._fs.open(self._path) as file:
            return pl.read_parquet(file, **self._load_args)

    def save(self, data: Parts) -> None:
        """Write one part after the other; all have the columns and types of the first.

        Raises:
            DatasetError: there is no part, so that the columns are unknown.
        """
        parts = [data] if isinstance(data, pl.DataFrame) else data
        if isinstance(self._fs, LocalFileSystem):
            path = Path(self._path)
            path.parent.mkdir(parents=True, exist_ok=True)
            fresh = path.with_name(f"{path.name}.new")
            self._write(parts, fresh)
            fresh.replace(path)
            return
        with tempfile.TemporaryDirectory() as folder:
            fresh = Path(folder) / "table.parquet"
            self._write(parts, fresh)
            self._fs.put_file(str(fresh), self._path)
        self._fs.invalidate_cache()

    def _write(self, parts: Iterable[pl.DataFrame], path: Path) -> None:
        rest = one_ahead(parts)
        first = next(rest, None)
        if first is None:
            msg = f"'{self._filepath}': there is nothing to write, not even an empty table"
            raise DatasetError(msg)
        table = first.to_arrow()
        with pq.ParquetWriter(
            path, table.schema, compression="zstd", compression_level=3
        ) as writer:
            writer.write_table(table, row_group_size=ROWS_PER_GROUP)
            del first, table
            for part in rest:
                writer.write_table(part.to_arrow(), row_group_size=ROWS_PER_GROUP)

    def _exists(self) -> bool:
        return bool(self._fs.exists(self._path))

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._filepath, "load_args": self._load_args}


class EachPart:
    """Lets the validator of a table check each of its parts as it is written."""

    def __init__(self, schema: str) -> None:
        """Name the validator.

        Args:
            schema: dotted path, such as one of ``recsys_kedro.schemas``; what it checks must
                hold of a table if it holds of all of its parts.
        """
        self._whole = resolve_validator(ValidatorSpec(class_path=schema))

    def validate(self, data: Parts) -> Parts:
        """Check a frame here; of parts each when its turn comes, so that the save fails."""
        if isinstance(data, pl.DataFrame):
            checked: pl.DataFrame = self._whole.validate(data)
            return checked
        return self._each(data)

    def _each(self, parts: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
        for part in parts:
            yield self._whole.validate(part)
