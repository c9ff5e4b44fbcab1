"""The map between the shop's string ids and our contiguous integers."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

UNKNOWN = -1
FEW = 10_000  # up to so many names a Python dictionary is faster than a Polars expression


@dataclass(frozen=True)
class Vocabulary:
    """Ids in the order of their index. Fitted on training data only.

    An id that is not in it has the index :data:`UNKNOWN` (-1).
    """

    ids: pl.Series
    _index: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        pairs = {id_: index for index, id_ in enumerate(self.ids.to_list())}
        object.__setattr__(self, "_index", pairs)

    @classmethod
    def fit(cls, ids: pl.Series | Iterable[str]) -> "Vocabulary":
        """All distinct non-empty ids, in sorted order (so the same data gives the same map)."""
        series = ids if isinstance(ids, pl.Series) else pl.Series(list(ids), dtype=pl.String)
        return cls(series.cast(pl.String).drop_nulls().unique().sort().alias("id"))

    def __len__(self) -> int:
        return self.ids.len()

    def __contains__(self, id_: object) -> bool:
        return id_ in self._index

    def encode(self, ids: pl.Series) -> NDArray[np.int64]:
        """(N,) the index of each id, -1 where the id is unknown or empty."""
        if ids.len() < FEW:
            return np.array([self._index.get(id_, UNKNOWN) for id_ in ids.to_list()], np.int64)
        table = pl.DataFrame({"id": self.ids}).with_row_index("index")
        found = pl.DataFrame({"id": ids}).join(table, on="id", how="left", maintain_order="left")
        return found["index"].cast(pl.Int64).fill_null(UNKNOWN).to_numpy()

    def decode(self, indices: NDArray[np.integer]) -> pl.Series:
        """(N,) the id of each index; indices must be known."""
        return self.ids.gather(np.ascontiguousarray(indices, np.int64).astype(np.uint32))

    def save(self, path: Path) -> None:
        """Write the ids as Parquet."""
        pl.DataFrame({"id": self.ids}).write_parquet(path)

    @classmethod
    def load(cls, path: Path) -> "Vocabulary":
        """Read what :meth:`save` wrote."""
        return cls(pl.read_parquet(path)["id"])
