"""What serving knows beside the model: histories, profiles, products, as of the model's time.

This is the in-process store: read-only, as of ``as_of``. Fresher events come with a request.
"""

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Self

import polars as pl

from recsys_kedro import columns as c
from recsys_kedro.features import columns as f
from recsys_kedro.queries import HISTORY_COLUMNS
from recsys_kedro.schemas import UTC_TIME

SHOWN = (c.NAME, c.CATEGORY, c.PRICE)
HISTORIES_FILE = "histories.parquet"
AS_OF_FILE = "as_of.txt"


@dataclass(frozen=True)
class ServingSnapshot:
    """Tables by user and by product.

    Attributes:
        histories: ``user_id`` and the history columns, sorted by user and time.
        profiles: user features, one row per user.
        products: ``product_id, name, category, price, score``; the score is the popularity of
            the last 30 days, then of all time; empty where the product cannot be sold.
        as_of: UTC; nothing at or after it is in the tables.
    """

    histories: pl.DataFrame
    profiles: pl.DataFrame
    products: pl.DataFrame
    as_of: datetime
    _rows: dict[str, tuple[int, int]] = field(init=False, repr=False, compare=False)
    _profile_rows: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        blocks = (
            self.histories.with_row_index("row")
            .group_by(c.USER_ID)
            .agg(first=pl.col("row").min(), rows=pl.len())
        )
        rows = {user: (first, first + count) for user, first, count in blocks.iter_rows()}
        object.__setattr__(self, "_rows", rows)
        users = enumerate(self.profiles[c.USER_ID].to_list())
        object.__setattr__(self, "_profile_rows", {user: row for row, user in users})

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
            past.select(c.USER_ID, *HISTORY_COLUMNS),
            user_features,
            shown.with_columns(pl.coalesce("latest_price", c.PRICE).alias(c.PRICE))
            .drop("latest_price")
            .sort(c.PRODUCT_ID),
            as_of,
        )

    def knows(self, user_id: str) -> bool:
        """Whether there is any past event of the user."""
        return user_id in self._rows

    def history(self, user_id: str) -> pl.DataFrame:
        """The user's past events, newest last; no rows for an unknown user."""
        first, last = self._rows.get(user_id, (0, 0))
        return self.histories[first:last].select(HISTORY_COLUMNS)

    def profiles_of(self, user_ids: list[str]) -> pl.DataFrame:
        """One row of user features per user, in their order; empty values where unknown."""
        rows = [self._profile_rows.get(user) for user in user_ids]
        known = self.profiles[[row for row in rows if row is not None]]
        asked = pl.DataFrame({c.USER_ID: user_ids}, schema={c.USER_ID: pl.String})
        known = known.unique(c.USER_ID, maintain_order=True)
        return asked.join(known, on=c.USER_ID, how="left", maintain_order="left")

    @property
    def popular(self) -> pl.DataFrame:
        """``product_id, category, score`` of the products that can be sold."""
        return self.products.select(c.PRODUCT_ID, c.CATEGORY, c.SCORE).drop_nulls(c.SCORE)

    def save(self, folder: Path) -> None:
        """Write it into ``folder`` as Parquet."""
        folder.mkdir(parents=True, exist_ok=True)
        self.histories.write_parquet(folder / HISTORIES_FILE)
        self.profiles.write_parquet(folder / "profiles.parquet")
        self.products.write_parquet(folder / "products.parquet")
        (folder / AS_OF_FILE).write_text(self.as_of.isoformat(), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what :meth:`save` wrote."""
        return cls(
            pl.read_parquet(folder / HISTORIES_FILE),
            pl.read_parquet(folder / "profiles.parquet"),
            pl.read_parquet(folder / "products.parquet"),
            datetime.fromisoformat((folder / AS_OF_FILE).read_text("utf-8")),
        )


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
