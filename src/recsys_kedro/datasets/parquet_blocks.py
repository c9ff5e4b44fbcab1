"""The rows of Parquet files, block by block."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import polars as pl
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem
from fsspec.utils import infer_compression
from kedro.io.core import DatasetError
from pyarrow.lib import ArrowInvalid

from recsys_kedro import columns as c

ROWS_AT_ONCE = 250_000


@dataclass(frozen=True)
class ParquetBlocks:
    """Frames of the same columns, in the order of the files and their rows.

    A file on a disk of this machine is read piece by piece, one elsewhere as a whole.

    Attributes:
        paths: one or more files.
        fs: the filesystem that they are on.
        load_args: of ``polars.read_parquet``; with any, files are read as a whole.
    """

    paths: Sequence[str]
    fs: Any
    load_args: dict[str, Any]

    def __iter__(self) -> Iterator[pl.DataFrame]:
        """Each with ``source_row``, the position in the whole source from 1; one at least.

        A column that a file lacks is empty there, and one that files have in different types
        has the type that holds all of them.

        Raises:
            DatasetError: a file cannot be read; names the path.
        """
        kinds = [self._columns(path) for path in self.paths]
        columns = pl.concat(kinds, how="diagonal_relaxed").drop(c.SOURCE_ROW, strict=False)
        before = 0
        for path in self.paths:
            for rows in self._pieces(path):
                mine = rows.drop(c.SOURCE_ROW, strict=False)
                block = pl.concat([columns, mine], how="diagonal_relaxed")
                numbers = pl.int_range(before + 1, before + block.height + 1, dtype=pl.Int64)
                yield block.select(numbers.alias(c.SOURCE_ROW), pl.all())
                before += block.height
        if before == 0:
            yield columns.select(pl.lit(0, pl.Int64).alias(c.SOURCE_ROW).head(0), pl.all())

    def _columns(self, path: str) -> pl.DataFrame:
        """No rows, in the columns and types of the file."""
        if not self._plain(path):
            return read_parquet(path, self.fs, self.load_args).clear()
        with readable(path, "parquet"), self.fs.open(path) as file:
            footer = BytesIO()  # Polars would read the whole object for its schema
            pq.read_metadata(file).write_metadata_file(footer)
            return pl.DataFrame(schema=pl.read_parquet_schema(footer.getvalue()))

    def _pieces(self, path: str) -> Iterator[pl.DataFrame]:
        if not (self._plain(path) and isinstance(self.fs, LocalFileSystem)):
            yield read_parquet(path, self.fs, self.load_args)
            return
        with readable(path, "parquet"):
            yield from pl.scan_parquet(path).collect_batches(chunk_size=ROWS_AT_ONCE)

    def _plain(self, path: str) -> bool:
        return not self.load_args and infer_compression(path) is None


def read_parquet(path: str, fs: Any, load_args: dict[str, Any]) -> pl.DataFrame:
    """A whole file.

    Raises:
        DatasetError: it cannot be read; names the path.
    """
    with readable(path, "parquet"), fs.open(path, compression="infer") as file:
        return pl.read_parquet(file, **load_args)


@contextmanager
def readable(path: str, file_format: str) -> Iterator[None]:
    """Turn errors of the readers into one that names the path."""
    try:
        yield
    except (pl.exceptions.PolarsError, ArrowInvalid) as error:
        msg = f"cannot read '{path}' as {file_format}: {error}"
        raise DatasetError(msg) from error
