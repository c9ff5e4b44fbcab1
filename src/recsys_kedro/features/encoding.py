"""Fitted encodings of single columns: categories, numbers, words. None of them is a pickle."""

import json
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys_kedro.vocabulary import Vocabulary

MISSING_INDEX = 0
UNKNOWN_INDEX = 1
FIRST_KNOWN_INDEX = 2
WORD = r"[\p{L}\p{N}]+"


@dataclass(frozen=True)
class CategoryEncoder:
    """Names to indices: 0 missing, 1 unknown or rare, from 2 the names of ``vocabulary``."""

    vocabulary: Vocabulary

    @classmethod
    def fit(cls, names: pl.Series, min_count: int) -> Self:
        """Know the names that stand in at least ``min_count`` rows.

        The rarer ones train the index of the unknown, which new names get later.
        """
        counts = names.drop_nulls().to_frame("name").group_by("name").len("rows")
        return cls(Vocabulary.fit(counts.filter(pl.col("rows") >= min_count)["name"]))

    def __len__(self) -> int:
        """How many indices there are: the rows of an embedding table."""
        return len(self.vocabulary) + FIRST_KNOWN_INDEX

    def transform(self, names: pl.Series) -> NDArray[np.int64]:
        """(N,) an index in ``[0, len(self))`` for each name."""
        known = self.vocabulary.encode(names)
        index = np.where(known >= 0, known + FIRST_KNOWN_INDEX, UNKNOWN_INDEX)
        if names.null_count():
            return np.where(names.is_null().to_numpy(), MISSING_INDEX, index)
        return index

    def save(self, path: Path) -> None:
        """Write it as Parquet."""
        self.vocabulary.save(path)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what :meth:`save` wrote."""
        return cls(Vocabulary.load(path))


@dataclass(frozen=True)
class NumberEncoder:
    """Numbers to standard scores of ln(1 + x).

    Attributes:
        columns: C columns, none of them negative.
        flagged: the F of them that may be missing; each adds a column that is 1 where it is.
        mean, std: (C,) of ln(1 + x) over the fitted rows that have a value.
    """

    columns: tuple[str, ...]
    flagged: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def fit(cls, frame: pl.DataFrame, columns: Sequence[str], flagged: Sequence[str]) -> Self:
        """Learn mean and standard deviation; a column that is constant or empty becomes 0."""
        return cls.of_logs(logs(frame, columns), columns, flagged)

    @classmethod
    def of_logs(
        cls, log_NC: NDArray[np.float64], columns: Sequence[str], flagged: Sequence[str]
    ) -> Self:
        """The same from ln(1 + x), NaN where it is missing."""
        known = ~np.isnan(log_NC)
        count = np.maximum(known.sum(axis=0), 1)
        mean = np.where(known, log_NC, 0.0).sum(axis=0) / count
        std = np.sqrt((np.where(known, log_NC - mean, 0.0) ** 2).sum(axis=0) / count)
        std[std < 1e-12] = 1.0
        return cls(tuple(columns), tuple(flagged), tuple(mean.tolist()), tuple(std.tolist()))

    @property
    def names(self) -> tuple[str, ...]:
        """What each of the C + F columns of the matrix is."""
        return (*self.columns, *(f"{name}_missing" for name in self.flagged))

    def transform(self, frame: pl.DataFrame) -> NDArray[np.float32]:
        """(N, C + F) scores, then flags; a missing number has the score of the mean, 0."""
        return self.scores(logs(frame, self.columns))

    def scores(self, log_NC: NDArray[np.float64]) -> NDArray[np.float32]:
        """The same from ln(1 + x), NaN where it is missing."""
        scores = (log_NC - self.mean) / self.std
        missing = np.isnan(scores)
        flags = missing[:, [self.columns.index(name) for name in self.flagged]]
        return np.hstack([np.where(missing, 0.0, scores), flags]).astype(np.float32)

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        path.write_text(json.dumps(asdict(self), indent=2), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what :meth:`save` wrote."""
        fields = json.loads(path.read_text(encoding="utf-8"))
        return cls(**{name: tuple(values) for name, values in fields.items()})


def logs(frame: pl.DataFrame, columns: Sequence[str]) -> NDArray[np.float64]:
    """(N, C) ln(1 + x), NaN where x is missing or not finite.

    Raises:
        ValueError: if a column has a negative number.
    """
    # Column by column: an expression costs a request more than the numbers do.
    values = np.stack([_floats(frame[name]) for name in columns], axis=1)
    negative = (values < 0).any(axis=0)
    if negative.any():
        name = columns[int(negative.argmax())]
        rows = np.flatnonzero(values[:, columns.index(name)] < 0)
        msg = (
            f"encoders: column {name!r} has {rows.size} negative numbers (first: row {rows[0]}, "
            f"{frame[name][int(rows[0])]}); its logarithm is not defined. Check the feature table."
        )
        raise ValueError(msg)
    return np.log1p(np.where(np.isfinite(values), values, np.nan))


def _floats(numbers: pl.Series) -> NDArray[np.float64]:
    """(N,) the numbers, or truths as 1 and 0; NaN where there is none."""
    if numbers.dtype == pl.Boolean and numbers.null_count():
        return np.where(numbers.is_null(), np.nan, truths(numbers))
    return numbers.to_numpy().astype(np.float64)


def truths(values: pl.Series) -> NDArray[np.bool_]:
    """(N,) whether each is true; what is not known is not."""
    if values.null_count():
        values = values.fill_null(value=False)
    return values.to_numpy()


class Tokens(NamedTuple):
    """Packed word ids: the words of row n are ``ids[offsets[n]:offsets[n + 1]]``."""

    ids: NDArray[np.int64]
    offsets: NDArray[np.int64]


def hash_words(texts: pl.Series, buckets: int) -> Tokens:
    """The words of each text as hash buckets in ``[0, buckets)``, in their order.

    The hash (CRC-32 of the lower-case word in UTF-8) is the same in every process and version.
    Nothing is fitted: a new word has its bucket too. A missing text has no words.
    """
    words = texts.fill_null("").str.to_lowercase().str.extract_all(WORD)
    offsets = np.concatenate([[0], np.cumsum(words.list.len().to_numpy())]).astype(np.int64)
    flat = words.explode(empty_as_null=False).cast(pl.String)
    flat = flat.drop_nulls()
    if flat.is_empty():
        return Tokens(np.zeros(0, np.int64), offsets)
    distinct = flat.unique()
    bucket = [zlib.crc32(word.encode()) % buckets for word in distinct.to_list()]
    ids = flat.replace_strict(distinct, pl.Series(bucket, dtype=pl.Int64), return_dtype=pl.Int64)
    return Tokens(ids.to_numpy(), offsets)
