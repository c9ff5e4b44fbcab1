"""What serving knows beside the model: histories, profiles, products, as of the model's time.

This is the in-process store: read-only, as of ``as_of``. Its files are mapped into memory, not
read: a server starts in milliseconds whatever the number of users, and the workers of a machine
share one copy. Both tables by user are sorted by user, so that a binary search finds one.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import polars as pl
import pyarrow as pa

from recsys_kedro import columns as c
from recsys_kedro.features import columns as f
from recsys_kedro.queries import HISTORY_COLUMNS
from recsys_kedro.schemas import UTC_TIME

SHOWN = (c.NAME, c.CATEGORY, c.PRICE)
MOST_STORED_EVENTS = 2_000  # per user, besides older purchases
HISTORIES_FILE = "histories.arrow"
PROFILES_FILE = "profiles.arrow"
PRODUCTS_FILE = "products.arrow"
AS_OF_FILE = "as_of.txt"
NO_HISTORY = pl.DataFrame(
    schema={
        c.PRODUCT_ID: pl.String,
        c.EVENT_TYPE: pl.String,
        c.TIMESTAMP: UTC_TIME,
        c.SESSION_ID: pl.String,
        c.PRICE: pl.Float64,
        c.QUANTITY: pl.Float64,
    }
)


@dataclass(frozen=True)
class ServingSnapshot:
    """Tables by user and by product.

    Attributes:
        histories: ``user_id`` and the history columns, sorted by user and time; what
            :func:`remembered` keeps.
        profiles: user features, one row per user, sorted by user.
        products: ``product_id, name, category, price, score``; the score is the popularity of
            the last 30 days, then of all time; empty where the product cannot be sold.
        as_of: UTC; nothing at or after it is in the tables.
    """

    histories: pl.DataFrame
    profiles: pl.DataFrame
    products: pl.DataFrame
    as_of: datetime

    @classmethod
    def of(
        cls,
        events: pl.DataFrame,
        products: pl.DataFrame,
        product_features: pl.DataFrame,
        user_features: pl.DataFrame,
        as_of: datetime,
    ) -> Self:
        """Take from the tables what answers need."""
        past = events.filter(pl.col(c.TIMESTAMP) < as_of).sort(c.USER_ID, c.TIMESTAMP, c.SOURCE_ROW)
        sold = pl.col(f.PURCHASES_30D) + pl.col(f.VIEWS_30D) / 100
        popularity = product_features.select(
            c.PRODUCT_ID,
            pl.col(c.PRICE).alias("latest_price"),
            pl.when(f.IN_STOCK).then(sold + pl.col(f.PURCHASES_ALL_TIME) / 1e6).alias(c.SCORE),
        )
        shown = products.select(c.PRODUCT_ID, *SHOWN).join(popularity, on=c.PRODUCT_ID, how="left")
        return cls(
            remembered(past.select(c.USER_ID, *HISTORY_COLUMNS), MOST_STORED_EVENTS),
            user_features.with_columns(pl.col(c.USER_ID).cast(pl.String)).sort(c.USER_ID),
            shown.with_columns(pl.coalesce("latest_price", c.PRICE).alias(c.PRICE))
            .drop("latest_price")
            .sort(c.PRODUCT_ID),
            as_of,
        )

    def knows(self, user_id: str) -> bool:
        """Whether there is any past event of the user."""
        return _row(self._users, user_id) is not None

    def history(self, user_id: str) -> pl.DataFrame:
        """The user's past events, newest last; no rows for an unknown user."""
        ids = self._users
        first = bisect_left(ids, user_id)
        # Nearly all histories end within the cap, so most of the table need not be searched.
        near = min(first + MOST_STORED_EVENTS, len(ids))
        last = bisect_right(ids, user_id, first, near)
        if last == near:
            last = bisect_right(ids, user_id, near)
        return self._past.slice(first, last - first)

    def profile(self, user_id: str) -> Mapping[str, Any]:
        """The user's features by name, without the id; empty for an unknown user."""
        row = _row(self._profiled, user_id)
        return {} if row is None else self._features.row(row, named=True)

    def profiles_of(self, user_ids: Sequence[str]) -> pl.DataFrame:
        """One row of user features per user, in their order; empty values where unknown."""
        rows = [{c.USER_ID: user, **self.profile(user)} for user in user_ids]
        return pl.DataFrame(rows, schema=self.profiles.schema)

    @cached_property
    def popular(self) -> pl.DataFrame:
        """``product_id, category, score`` of the products that can be sold."""
        return self.products.select(c.PRODUCT_ID, c.CATEGORY, c.SCORE).drop_nulls(c.SCORE)

    @cached_property
    def _users(self) -> pl.Series:
        return self.histories[c.USER_ID]

    @cached_property
    def _past(self) -> pl.DataFrame:
        return self.histories.select(HISTORY_COLUMNS)

    @cached_property
    def _profiled(self) -> pl.Series:
        return self.profiles[c.USER_ID]

    @cached_property
    def _features(self) -> pl.DataFrame:
        return self.profiles.drop(c.USER_ID)

    def save(self, folder: Path) -> None:
        """Write it into ``folder`` as Arrow files, which :meth:`load` can map.

        Never into a folder that a running server has loaded: it would see the files change.
        """
        folder.mkdir(parents=True, exist_ok=True)
        for name, table in (
            (HISTORIES_FILE, self.histories),
            (PROFILES_FILE, self.profiles),
            (PRODUCTS_FILE, self.products),
        ):
            table.write_ipc(folder / name, compression="uncompressed")
        (folder / AS_OF_FILE).write_text(self.as_of.isoformat(), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Map what :meth:`save` wrote; the files stay where they are while it is in use."""
        return cls(
            _mapped(folder / HISTORIES_FILE),
            _mapped(folder / PROFILES_FILE),
            _mapped(folder / PRODUCTS_FILE),
            datetime.fromisoformat((folder / AS_OF_FILE).read_text("utf-8")),
        )


def remembered(past: pl.DataFrame, most: int) -> pl.DataFrame:
    """Each user's newest ``most`` events, and of what was bought before the newest purchase.

    So a history is bounded, and yet what a user has bought is never forgotten.

    Args:
        past: ``user_id`` and the history columns, sorted by user, newest last.
        most: events per user, besides older purchases.

    Returns:
        Some of the rows, in their order.
    """
    place = pl.int_range(pl.len())
    by_age = past.with_columns(place.alias("row"), place.reverse().over(c.USER_ID).alias("age"))
    newest = by_age.filter(pl.col("age") < most)
    if newest.height == past.height:
        return past
    bought = by_age.filter(pl.col("age") >= most, pl.col(c.EVENT_TYPE) == c.PURCHASE)
    bought = bought.unique([c.USER_ID, c.PRODUCT_ID], keep="last")
    return pl.concat([bought, newest]).sort("row").drop("row", "age")


def _row(ids: pl.Series, user_id: str) -> int | None:
    """Where ``user_id`` stands first in sorted ``ids``."""
    row = bisect_left(ids, user_id)
    return row if row < len(ids) and ids[row] == user_id else None


def _mapped(path: Path) -> pl.DataFrame:
    """The table of an uncompressed Arrow file, its bytes left in the file.

    ``pl.read_ipc`` of Polars 2 copies them; Arrow maps them, and Polars takes its buffers.
    """
    with pa.memory_map(str(path)) as file:
        table = pl.from_arrow(pa.ipc.open_file(file).read_all(), rechunk=False)
    assert isinstance(table, pl.DataFrame)  # a table of Arrow, not an array
    return table
