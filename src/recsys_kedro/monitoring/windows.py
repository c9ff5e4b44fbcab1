"""The windows that figures are made for: equal in length, back from a time.

They end at that time and not at midnight, so that all of them are whole and counts compare.
"""

from datetime import datetime, timedelta
from typing import NamedTuple

import polars as pl

from recsys_kedro import columns as c


class Window(NamedTuple):
    """A stretch of time, UTC; ``end`` is not part of it."""

    start: datetime
    end: datetime

    def of(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows whose ``timestamp`` lies in it."""
        return rows.filter(pl.col(c.TIMESTAMP).is_between(*self, closed="left"))


class Windows(NamedTuple):
    """The windows of a report.

    Attributes:
        latest: what is judged.
        reference: what it is compared with, all of it; ends where ``latest`` begins.
        earlier: the whole windows of the reference in which there was a log, in order.
    """

    latest: Window
    reference: Window
    earlier: tuple[Window, ...]

    @property
    def all(self) -> tuple[Window, ...]:
        """Every window, in order of time."""
        return (*self.earlier, self.latest)


def last_windows(
    first: datetime, as_of: datetime, length: timedelta, reference: timedelta
) -> Windows:
    """The windows up to ``as_of``.

    Args:
        first: UTC, of the first impression; a window that begins before it is left out, since
            it would count too little.
        as_of: UTC; the latest window ends here.
        length: of a window.
        reference: how far back the reference goes from the latest window.
    """
    latest = Window(as_of - length, as_of)
    starts = [latest.start - length * back for back in range(reference // length, 0, -1)]
    earlier = tuple(Window(start, start + length) for start in starts if start >= first)
    return Windows(latest, Window(latest.start - reference, latest.start), earlier)
