"""Rows that tell of an event that another row has told of.

Rows may be more than the memory holds, so a row is known by hashes. Only for hashes that come
twice (8 bytes a row to find them) rows are looked up and compared: event ids as they are, the
content of a row by 128 bits. That two of n rows that differ have the same 128 bits has the
probability n² / 2^129, about 1.5e-23 for 100 million rows.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys_kedro import columns as c
from recsys_kedro.streams.options import KAFKA_OFFSET, KAFKA_PARTITION

EXACT = "exact"
SAME_EVENT_ID = "event_id"
CONTENT_HASHES = ("content_hash_1", "content_hash_2")
HASHES_AT_ONCE = 5_000_000  # of rows that come twice are looked up; bounds the memory for that


def content_hashes(raw: pl.DataFrame) -> list[pl.Series]:
    """Two series (N,) of 64 bits each: equal rows have equal ones.

    Args:
        raw: rows of the source; where a broker had them is not part of their content.
    """
    content = raw.drop(c.SOURCE_ROW, KAFKA_PARTITION, KAFKA_OFFSET, strict=False)
    return [content.hash_rows(seed).alias(name) for seed, name in enumerate(CONTENT_HASHES)]


def event_id_hash() -> pl.Expr:
    """64 bits of the source's own id."""
    return pl.col(c.EVENT_ID).hash().alias("event_id_hash")


def repeats(
    rows: pl.LazyFrame, hashed: pl.Expr, keys: Sequence[str], hashes: NDArray[np.uint64]
) -> pl.Series:
    """The ``source_row`` of each row whose keys an earlier one has, ascending.

    Args:
        rows: with ``source_row``, ``keys`` and what ``hashed`` reads.
        hashed: 64 bits that equal keys share; rows where it is empty repeat nothing.
        keys: what makes two rows the same.
        hashes: (N,) the value of ``hashed`` in each row; is sorted in place.
    """
    hashes.sort()
    twice = hashes[1:][hashes[1:] == hashes[:-1]]
    twice = twice[np.append(True, twice[1:] != twice[:-1])] if len(twice) else twice
    found = [pl.Series(c.SOURCE_ROW, [], pl.Int64)]
    for start in range(0, len(twice), HASHES_AT_ONCE):
        wanted = pl.LazyFrame({"hash": twice[start : start + HASHES_AT_ONCE]})
        alike = (
            rows.select(c.SOURCE_ROW, *keys, hashed.alias("hash"))
            .join(wanted, on="hash", how="semi")
            .collect(engine="streaming")
            .sort(c.SOURCE_ROW)
        )
        first = alike.select(pl.struct(keys).is_first_distinct()).to_series()
        found.append(alike[c.SOURCE_ROW].filter(~first))
    return pl.concat(found).sort()
