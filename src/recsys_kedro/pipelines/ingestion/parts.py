"""The events in parts by range of user, so that one part at a time is in memory."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import polars as pl

from recsys_kedro import columns as c

SORTED_BY = (c.USER_ID, c.TIMESTAMP, c.SOURCE_ROW)
SAMPLED_PER_PART = 1_000


@dataclass(frozen=True)
class EventParts:
    """Events that may be more than the memory holds; all events of a user are in one part.

    Attributes:
        table: all of them in no particular order: ``source_row`` and the mapped columns. A
            query on it may stream.
        borders: the least ``user_id`` of every part but the first, ascending.
    """

    table: pl.LazyFrame
    borders: tuple[str, ...] = ()

    def ordered(self) -> Iterator[pl.DataFrame]:
        """Part by part the rows sorted by user_id, timestamp, source_row; no part is empty.

        One after the other they are the sorted table.
        """
        return (part.sort(SORTED_BY) for part in self.parts())

    def parts(self, columns: Sequence[str] | None = None) -> Iterator[pl.DataFrame]:
        """Part by part the rows in no particular order; no part is empty.

        Args:
            columns: only these, with ``user_id`` among them; empty: all.
        """
        table = self.table if columns is None else self.table.select(columns)
        user = pl.col(c.USER_ID)
        for lower, upper in zip((None, *self.borders), (*self.borders, None), strict=True):
            rows = table if lower is None else table.filter(user >= lower)
            rows = rows if upper is None else rows.filter(user < upper)
            part = rows.collect()
            if part.height:
                yield part


def compact(values: pl.Series) -> pl.Series:
    """The same values without what they were taken from: Polars' strings are views of it."""
    return pl.Series(values.name, values.to_arrow(compat_level=pl.CompatLevel.oldest()))


def borders_between(sampled: pl.Series, rows: int, rows_per_part: int) -> tuple[str, ...]:
    """The least user of every part but the first, so that all parts are about equally large.

    Args:
        sampled: user ids of events, drawn evenly; no user needs to be in it.
        rows: how many events there are.
        rows_per_part: how many a part may have, about; a user with more is one part.
    """
    ids = sampled.sort()
    parts = -(-rows // rows_per_part)
    places = [part * len(ids) // parts for part in range(1, parts)]
    return tuple(ids[places].unique(maintain_order=True)) if places else ()
