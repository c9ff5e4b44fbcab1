"""What a model is asked: a history, a profile and a context as of a time."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys_kedro import columns as c
from recsys_kedro.vocabulary import FEW, Vocabulary

_CODES = {kind: place for place, kind in enumerate(c.EVENT_TYPES)}
MOST_AT_ONCE = 512  # queries that are answered together
CELLS_AT_ONCE = 2**23  # queries times products: 32 MiB for each kind of score
HISTORY_COLUMNS = (c.PRODUCT_ID, c.EVENT_TYPE, c.TIMESTAMP, c.SESSION_ID, c.PRICE, c.QUANTITY)
CONTEXT_COLUMNS = {
    c.DEVICE_TYPE: pl.String,
    c.CATEGORY: pl.String,
    c.SEARCH_QUERY: pl.String,
    c.LIVE: pl.Boolean,
}


@dataclass(frozen=True)
class Queries:
    """Q queries with their E past events, packed.

    Attributes:
        requests: one row per query: ``user_id``, ``as_of``, the context columns
            (``device_type``, ``category``, ``search_query``; empty where unknown), whether the
            user is in a ``live`` session, and the profile (any user features as of the query).
        history: one row per past event with :data:`HISTORY_COLUMNS`, grouped by query
            in the order of ``requests``, newest last. All of it is strictly before the
            ``as_of`` of its query.
        offsets: (Q + 1,) the history of query q is ``history[offsets[q]:offsets[q + 1]]``.
    """

    requests: pl.DataFrame
    history: pl.DataFrame
    offsets: NDArray[np.int64]
    _encoded: list[tuple[Vocabulary, NDArray[np.int64]]] = field(
        default_factory=list, init=False, repr=False, compare=False
    )

    def __len__(self) -> int:
        return self.requests.height

    def slice(self, start: int, stop: int) -> "Queries":
        """The queries ``start`` to ``stop`` (exclusive)."""
        stop = min(stop, len(self))
        first, last = int(self.offsets[start]), int(self.offsets[stop])
        return Queries(
            self.requests[start:stop],
            self.history[first:last],
            self.offsets[start : stop + 1] - first,
        )

    def batches(self, size: int) -> Iterator["Queries"]:
        """The same queries in pieces of at most ``size``."""
        for start in range(0, len(self), size):
            yield self.slice(start, start + size)

    def batches_over(self, products: int) -> Iterator[tuple[int, "Queries"]]:
        """Pieces small enough to score ``products`` at once, each with its first query."""
        size = max(1, min(MOST_AT_ONCE, CELLS_AT_ONCE // max(products, 1)))
        for number, batch in enumerate(self.batches(size)):
            yield number * size, batch

    def save(self, folder: Path) -> None:
        """Write them into ``folder`` as Parquet."""
        folder.mkdir(parents=True, exist_ok=True)
        counts = pl.Series("events", np.diff(self.offsets))
        self.requests.with_columns(counts).write_parquet(folder / "requests.parquet")
        self.history.write_parquet(folder / "history.parquet")

    @classmethod
    def load(cls, folder: Path) -> "Queries":
        """Read what :meth:`save` wrote."""
        requests = pl.read_parquet(folder / "requests.parquet")
        offsets = np.concatenate([[0], np.cumsum(requests["events"].to_numpy())])
        history = pl.read_parquet(folder / "history.parquet")
        return cls(requests.drop("events"), history, offsets.astype(np.int64))

    @cached_property
    def rows(self) -> NDArray[np.int64]:
        """(E,) the query that each past event belongs to."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    @cached_property
    def age_days(self) -> NDArray[np.float32]:
        """(E,) days from each past event to the ``as_of`` of its query; above zero."""
        as_of = self.requests[c.AS_OF].to_numpy()[self.rows]
        age = as_of - self.history[c.TIMESTAMP].to_numpy()
        return np.asarray(age / np.timedelta64(1, "D"), np.float32)

    @cached_property
    def event_types(self) -> NDArray[np.int64]:
        """(E,) the position of each event's type in ``EVENT_TYPES``."""
        return event_type_codes(self.history[c.EVENT_TYPE])

    @cached_property
    def quantities(self) -> NDArray[np.float32]:
        """(E,) of each past event; 1 where there is none."""
        quantity = self.history[c.QUANTITY].cast(pl.Float32).fill_null(1).to_numpy()
        return np.asarray(quantity, np.float32)

    @cached_property
    def product_codes(self) -> NDArray[np.int64]:
        """(E,) equal numbers for equal products, those that no vocabulary knows included."""
        return codes_of(self.history[c.PRODUCT_ID])

    @cached_property
    def session_codes(self) -> NDArray[np.int64]:
        """(E,) equal numbers for equal sessions."""
        return codes_of(self.history[c.SESSION_ID])

    def products(self, vocabulary: Vocabulary) -> NDArray[np.int64]:
        """(E,) the index of each event's product in ``vocabulary``, -1 where unknown."""
        for known, product in self._encoded:
            if known is vocabulary:
                return product
        product = vocabulary.encode(self.history[c.PRODUCT_ID])
        self._encoded.append((vocabulary, product))
        return product

    def are(self, event_types: Collection[str]) -> NDArray[np.bool_]:
        """(E,) whether each past event is of one of the types."""
        return by_event_type(dict.fromkeys(event_types, 1.0))[self.event_types] > 0

    def profile(self, feature: str) -> NDArray[np.float64]:
        """(Q,) a numeric user feature that came with the requests; NaN where there is none."""
        if feature not in self.requests.columns:
            return np.full(len(self), np.nan)
        return self.requests[feature].to_numpy().astype(np.float64)

    def seen(self, vocabulary: Vocabulary, event_types: Collection[str]) -> NDArray[np.bool_]:
        """(Q, P) whether the user had an event of ``event_types`` with the product."""
        product = self.products(vocabulary)
        wanted = self.are(event_types) & (product >= 0)
        result = np.zeros((len(self), len(vocabulary)), bool)
        result[self.rows[wanted], product[wanted]] = True
        return result


def build_queries(events: pl.DataFrame, requests: pl.DataFrame) -> Queries:
    """Give each request the user's events strictly before its ``as_of``.

    Args:
        events: the event table (any order; ties of time are kept in source order).
        requests: ``user_id`` and ``as_of``, and any context and profile columns.
    """
    missing = [
        pl.lit(None, dtype).alias(name)
        for name, dtype in CONTEXT_COLUMNS.items()
        if name not in requests.columns
    ]
    requests = requests.select(c.USER_ID, c.AS_OF, pl.exclude(c.USER_ID, c.AS_OF)).with_columns(
        *missing
    )
    asked = requests.select(c.USER_ID, c.AS_OF).with_row_index(c.QUERY)
    history = (
        events.lazy()
        .select(c.USER_ID, c.SOURCE_ROW, *HISTORY_COLUMNS)
        .join(asked.lazy(), on=c.USER_ID)
        .filter(pl.col(c.TIMESTAMP) < pl.col(c.AS_OF))
        .sort(c.QUERY, c.TIMESTAMP, c.SOURCE_ROW)
        .select(c.QUERY, *HISTORY_COLUMNS)
        .collect()
    )
    counts = np.bincount(history[c.QUERY].to_numpy(), minlength=requests.height)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return Queries(requests, history.drop(c.QUERY), offsets)


def by_event_type(values: Mapping[str, float]) -> NDArray[np.float32]:
    """The values in the order of ``EVENT_TYPES``; 0 where there is none."""
    return np.array([values.get(kind, 0.0) for kind in c.EVENT_TYPES], np.float32)


def event_type_codes(event_types: pl.Series) -> NDArray[np.int64]:
    """(E,) the position of each type in ``EVENT_TYPES``.

    Raises:
        ValueError: if there is another type; it names the first.
    """
    if event_types.len() < FEW:
        codes = [_CODES.get(kind, -1) for kind in event_types.to_list()]
        result = np.array(codes, np.int64)
    else:
        names, places = list(c.EVENT_TYPES), list(range(len(c.EVENT_TYPES)))
        result = event_types.replace_strict(
            names, places, default=-1, return_dtype=pl.Int64
        ).to_numpy()
    if (result < 0).any():
        msg = (
            f"unknown event type {event_types[int(np.argmin(result))]!r}; "
            f"known are {', '.join(c.EVENT_TYPES)}"
        )
        raise ValueError(msg)
    return result


def codes_of(names: pl.Series) -> NDArray[np.int64]:
    """(N,) equal numbers for equal names; empty names are equal."""
    if names.len() < FEW:
        code: dict[str | None, int] = {}
        return np.array([code.setdefault(name, len(code)) for name in names.to_list()], np.int64)
    return names.rank("dense").fill_null(0).cast(pl.Int64).to_numpy()
