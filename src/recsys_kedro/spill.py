"""Tables that are larger than the memory, on their way from one step to the next."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl

ROWS_PER_GROUP = 32_768  # few, so that a range of sorted rows is read without much around it


@dataclass(frozen=True)
class SpillFolder:
    """Tables in a folder on this machine's disk, written piece by piece.

    What is in the folder belongs to one run; see :class:`.datasets.spill.SpillDataset`.

    Attributes:
        folder: there, and empty at first.
    """

    folder: Path

    def append(self, table: str, rows: pl.DataFrame) -> None:
        """Write ``rows`` behind those that ``table`` has; all of a table have one schema."""
        pieces = self.folder / table
        pieces.mkdir(exist_ok=True)
        path = pieces / f"{len(self._paths(table)):06d}.parquet"
        rows.write_parquet(path, compression="lz4", row_group_size=ROWS_PER_GROUP)

    def scan(self, table: str) -> pl.LazyFrame:
        """All rows of ``table``, which has a piece; read from the disk again by every query."""
        return pl.scan_parquet(self._paths(table))

    def pieces(self, table: str) -> Iterator[pl.DataFrame]:
        """What was appended to ``table``, one piece after the other."""
        for path in self._paths(table):
            yield pl.read_parquet(path)

    def _paths(self, table: str) -> list[Path]:
        return sorted((self.folder / table).glob("*.parquet"))
