"""A table in one or many CSV, Parquet or JSON-lines files."""

import logging
from io import BytesIO
from pathlib import PurePosixPath
from typing import Any, Literal, NoReturn

import fsspec
import polars as pl
from kedro.io.core import AbstractDataset, DatasetError, get_protocol_and_path

from recsys_kedro import columns as c
from recsys_kedro.datasets.parquet_blocks import ParquetBlocks, read_parquet, readable

FileFormat = Literal["csv", "parquet", "json_lines"]
FORMAT_OF_SUFFIX: dict[str, FileFormat] = {
    ".csv": "csv",
    ".parquet": "parquet",
    ".json": "json_lines",
    ".jsonl": "json_lines",
    ".ndjson": "json_lines",
}
LINE = "line"

logger = logging.getLogger(__name__)


class TableDataset(AbstractDataset[NoReturn, pl.DataFrame | ParquetBlocks]):
    """Reads a table as a Polars frame with ``source_row``; cannot be saved.

    ``source_row`` is the position in the source from 1: the data row of a CSV or Parquet
    file, the line of a JSON-lines file; several files count on in the order of their names.
    CSV values stay text, so that an id ``007`` keeps its zeros. A JSON line that is not an
    object does not fail the load: it arrives as text in the column ``malformed_json``.

    A table of Parquet files that may be larger than the memory can be read ``in_blocks``: then
    the load gives frames of the same columns one after the other.

    Example in a catalog::

        raw_events:
          type: recsys_kedro.datasets.tables.TableDataset
          filepath: data/01_raw/my_shop/events_*.csv
          load_args: {separator: ";"}
    """

    def __init__(
        self,
        *,
        filepath: str,
        file_format: FileFormat | None = None,
        optional: bool = False,
        in_blocks: bool = False,
        load_args: dict[str, Any] | None = None,
        credentials: dict[str, Any] | None = None,
        fs_args: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Name the files.

        Args:
            filepath: a path or glob on any filesystem that fsspec knows.
            file_format: empty: by the suffix of the path.
            optional: give an empty frame where no file is there.
            in_blocks: give the rows of Parquet files block by block; other formats are read
                as a whole all the same.
            load_args: passed on to ``polars.read_csv`` or ``polars.read_parquet``.
            credentials: of the filesystem.
            fs_args: further arguments of the filesystem.
            metadata: kept for Kedro's plugins.

        Raises:
            DatasetError: the suffix tells no format.
        """
        self._protocol, self._filepath = get_protocol_and_path(filepath)
        self._format = file_format or _format_of(self._filepath)
        self._optional = optional
        self._in_blocks = in_blocks
        self._load_args = load_args or {}
        self._fs = fsspec.filesystem(self._protocol, **(credentials or {}), **(fs_args or {}))
        self.metadata = metadata

    def load(self) -> pl.DataFrame | ParquetBlocks:
        """All files below one another; a column that a file lacks is empty there.

        Raises:
            DatasetError: no file, or one that cannot be read; names the path.
        """
        paths = self._paths()
        if not paths:
            if self._optional:
                logger.info("No file at %s: going on without.", self._filepath)
                return pl.DataFrame(schema={c.SOURCE_ROW: pl.Int64})
            msg = f"no file at '{self._filepath}'. Correct filepath, or set optional: true"
            raise DatasetError(msg)
        if self._format == "json_lines":
            return self._load_json_lines(paths)
        if self._format == "parquet" and self._in_blocks:
            return ParquetBlocks(paths, self._fs, self._load_args)
        frames = [self._read(path) for path in paths]
        table = pl.concat(frames, how="diagonal_relaxed").drop(c.SOURCE_ROW, strict=False)
        return table.with_row_index(c.SOURCE_ROW, offset=1).cast({c.SOURCE_ROW: pl.Int64})

    def save(self, data: NoReturn) -> NoReturn:
        """Refused: raw tables are read only."""
        msg = f"'{self._filepath}': raw tables are read only"
        raise DatasetError(msg)

    def _paths(self) -> list[str]:
        self._fs.invalidate_cache()  # others add files while this process lives
        if fsspec.core.has_magic(self._filepath):
            return sorted(str(path) for path in self._fs.glob(self._filepath))
        return [self._filepath] if self._fs.exists(self._filepath) else []

    def _read(self, path: str) -> pl.DataFrame:
        if self._format == "parquet":
            return read_parquet(path, self._fs, self._load_args)
        with readable(path, "csv"), self._fs.open(path, compression="infer") as file:
            return pl.read_csv(file, **{"infer_schema": False, **self._load_args})

    def _load_json_lines(self, paths: list[str]) -> pl.DataFrame:
        lines = pl.concat([self._read_lines(path) for path in paths])
        numbered = lines.with_row_index(c.SOURCE_ROW, offset=1).cast({c.SOURCE_ROW: pl.Int64})
        try:
            return parse_json_lines(numbered)
        except pl.exceptions.PolarsError as error:
            msg = f"cannot read '{self._filepath}' as json_lines: {error}"
            raise DatasetError(msg) from error

    def _read_lines(self, path: str) -> pl.DataFrame:
        with self._fs.open(path, compression="infer") as file:
            text = file.read().decode("utf-8-sig", errors="replace")
        if text.lstrip()[:1] == "[":
            msg = f"'{path}' holds one JSON array. Write one object a line (JSON lines)"
            raise DatasetError(msg)
        if not text.strip():
            return pl.DataFrame(schema={LINE: pl.String})
        return pl.scan_lines(BytesIO(text.encode()), name=LINE).collect()

    def _exists(self) -> bool:
        return self._optional or bool(self._paths())

    def _describe(self) -> dict[str, Any]:
        return {
            "filepath": self._filepath,
            "protocol": self._protocol,
            "file_format": self._format,
            "optional": self._optional,
            "in_blocks": self._in_blocks,
        }


def parse_json_lines(lines: pl.DataFrame) -> pl.DataFrame:
    """Turn JSON lines into columns.

    Args:
        lines: ``source_row`` and ``line``, ordered.

    Returns:
        ``source_row``, one column per key (nested objects stay structs), and, if there are
        any, ``malformed_json`` with the text of lines that are not JSON objects. Blank lines
        are left out.
    """
    filled = lines.filter(pl.col(LINE).str.strip_chars() != "")
    is_object = pl.col(LINE).str.json_path_match("$").str.starts_with("{").fill_null(False)
    objects, rest = filled.filter(is_object), filled.filter(~is_object)
    malformed = rest.rename({LINE: c.MALFORMED})
    if objects.is_empty():
        return malformed
    text = BytesIO("\n".join(objects[LINE].to_list()).encode())
    parsed = pl.read_ndjson(text, infer_schema_length=None).drop(c.SOURCE_ROW, strict=False)
    table = objects.select(c.SOURCE_ROW).hstack(parsed)
    if malformed.is_empty():
        return table
    return pl.concat([table, malformed], how="diagonal").sort(c.SOURCE_ROW)


def _format_of(path: str) -> FileFormat:
    suffix = PurePosixPath(path.removesuffix(".gz")).suffix.lower()
    if suffix not in FORMAT_OF_SUFFIX:
        msg = (
            f"'{path}' has no suffix that tells its format ({', '.join(FORMAT_OF_SUFFIX)}). "
            f"Set file_format to csv, parquet or json_lines"
        )
        raise DatasetError(msg)
    return FORMAT_OF_SUFFIX[suffix]
