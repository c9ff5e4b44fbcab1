"""Ordered sequences without times: read, and laid out in time as events and products.

A text file has one user a line, ``user item item ...``, oldest first, between white space. A
JSON file may say what the items are: ``{item: [attribute, ...]}``, whole numbers or texts.

Every sequence is aligned at its end: the last item lies one day before ``as_of``, the one before
it two days, and so on, at midnight UTC. With windows of one day the global time split is then the
leave-last-out protocol: the test window holds the last item of everybody, the validation window
the last but one, and what lies before either is the rest of each sequence. Days are steps.
"""

import json
import logging
import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final, Literal, NamedTuple, NoReturn, TypeAlias, get_args

import numpy as np
import polars as pl
from kedro.io import AbstractDataset, DatasetError
from numpy.typing import NDArray
from pydantic import AwareDatetime, TypeAdapter, ValidationError

from recsys_kedro import columns as c
from recsys_kedro.datasets.filesystem import located
from recsys_kedro.schemas import UTC_TIME

Table = Literal["events", "products"]
Ints: TypeAlias = NDArray[np.int64]
Attributes: TypeAlias = dict[str, list[int | str]]

DAY: Final = timedelta(days=1)
ALWAYS: Final = datetime(1970, 1, 1, tzinfo=UTC)  # the catalogue is there before the first event
LETTERS_AND_DIGITS: Final = ("L", "N")  # of Unicode's categories
AS_OF: Final[TypeAdapter[datetime]] = TypeAdapter(AwareDatetime)

logger = logging.getLogger(__name__)


class Sequences(NamedTuple):
    """The sequences of U users over P items.

    Attributes:
        users: U names, in the order of the file.
        items: P names, in the order in which they first appear.
        sequences: per user the positions of its items in ``items``, oldest first; none is empty.
    """

    users: list[str]
    items: list[str]
    sequences: list[Ints]


class SequencesDataset(AbstractDataset[NoReturn, pl.DataFrame]):
    """Events or products of ordered sequences; cannot be saved.

    Example in a catalog::

        raw_events:
          type: recsys_kedro.datasets.sequences.SequencesDataset
          table: events
          filepath: data/01_raw/sequences.txt
          as_of: 2020-01-01T00:00:00+00:00
    """

    def __init__(
        self,
        *,
        table: Table,
        filepath: str | None,
        as_of: str,
        attributes: str | None = None,
        longest: int = 1_000,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Name the files.

        Args:
            table: ``events`` (see :func:`aligned_events`) or ``products`` (see
                :func:`described_products`).
            filepath: the sequences, on any filesystem that fsspec knows; ``.gz`` is unpacked.
                Empty: loading fails with a message.
            as_of: a midnight in UTC, ISO 8601; the last items lie one day before it.
            attributes: the JSON file of the items' attributes; empty: none are known.
            longest: of a longer sequence only so many of the newest items are read.
            metadata: kept for Kedro's plugins.

        Raises:
            DatasetError: there is no such table, or ``as_of`` or ``longest`` is impossible.
        """
        if table not in get_args(Table):
            msg = f"table is '{table}'; ordered sequences have {', '.join(get_args(Table))}"
            raise DatasetError(msg)
        self._as_of = _midnight(as_of)
        most = (self._as_of - ALWAYS) // DAY - 1
        if not 1 <= longest <= most:
            msg = f"longest is {longest}; want 1 to {most:,} items, the days from 1970 to as_of"
            raise DatasetError(msg)
        self._table, self._longest = table, longest
        self._filepath, self._attributes = filepath or None, attributes or None
        self.metadata = metadata

    def load(self) -> pl.DataFrame:
        """Read the files and make the table.

        Raises:
            DatasetError: no file is named or there, or one cannot be read; names the place.
        """
        if self._filepath is None:
            msg = (
                "no file of sequences is named: set the environment variable RECSYS_SEQUENCES, or "
                "filepath in the catalog, to one with a user a line, `user item item ...`"
            )
            raise DatasetError(msg)
        try:
            read = parse_sequences(_content(self._filepath), self._filepath)
            if self._table == "events":
                return aligned_events(read, self._as_of, self._longest)
            if self._attributes is None:
                return described_products(read.items, {})
            attributes = parse_attributes(_content(self._attributes), self._attributes)
            if attributes.keys().isdisjoint(read.items):
                msg = f"{self._attributes}: no attribute of any item of {self._filepath}"
                raise ValueError(msg)
            return described_products(read.items, attributes)
        except ValueError as error:
            raise DatasetError(str(error)) from error

    def save(self, data: NoReturn) -> NoReturn:
        """Refused: raw sequences are read only."""
        msg = f"'{self._filepath}': raw sequences are read only"
        raise DatasetError(msg)

    def _exists(self) -> bool:
        if self._filepath is None:
            return False
        fs, path = located(self._filepath)
        return bool(fs.isfile(path))

    def _describe(self) -> dict[str, Any]:
        return {
            "table": self._table,
            "filepath": self._filepath,
            "attributes": self._attributes,
            "as_of": self._as_of.isoformat(),
            "longest": self._longest,
        }


def parse_sequences(content: bytes, source: str) -> Sequences:
    """Read ``user item item ...`` a line; blank lines are left out.

    Args:
        content: UTF-8.
        source: where it is from, for messages.

    Raises:
        ValueError: naming the line that cannot be read, or that there is none.
    """
    number_of: dict[str, int] = {}
    line_of: dict[str, int] = {}
    sequences = []
    for line, raw in enumerate(content.splitlines(), start=1):
        where = f"{source}, line {line}"
        words = _decoded(raw, where).split()
        if not words:
            continue
        if len(words) == 1:
            msg = f"{where}: user {words[0]!r} has no items; want `user item item ...`"
            raise ValueError(msg)
        if words[0] in line_of:
            msg = f"{where}: user {words[0]!r} stands in line {line_of[words[0]]} already"
            raise ValueError(msg)
        line_of[words[0]] = line
        sequences.append(np.array([number_of.setdefault(w, len(number_of)) for w in words[1:]]))
    if not sequences:
        msg = f"{source}: no sequences; want one user a line, `user item item ...`"
        raise ValueError(msg)
    return Sequences(list(line_of), list(number_of), sequences)


def parse_attributes(content: bytes, source: str) -> Attributes:
    """Read ``{item: [attribute, ...]}``; an attribute is a whole number or a text.

    Args:
        content: JSON in UTF-8.
        source: where it is from, for messages.

    Raises:
        ValueError: naming the line or the item that cannot be read.
    """
    text = _decoded(content, source)
    try:
        listed = json.loads(text, object_pairs_hook=partial(_each_once, source))
    except json.JSONDecodeError as error:
        msg = f"{source}, line {error.lineno}: not JSON ({error.msg})"
        raise ValueError(msg) from error
    if not isinstance(listed, dict):
        msg = f"{source}: want an object {{item: [attribute, ...]}}, not a {type(listed).__name__}"
        raise ValueError(msg)
    for item, of_item in listed.items():
        if not isinstance(of_item, list) or any(type(one) not in (int, str) for one in of_item):
            msg = f"{source}, item {item!r}: want a list of whole numbers or texts, not {of_item!r}"
            raise ValueError(msg)
    return listed


def aligned_events(read: Sequences, as_of: datetime, longest: int) -> pl.DataFrame:
    """One row per item of each sequence: a purchase, one a day, the last a day before ``as_of``.

    Args:
        read: the sequences.
        as_of: a midnight, UTC.
        longest: of a longer sequence only the newest items stay; what is cut is logged.

    Returns:
        ``source_row`` (position among all items of the file, from 1), ``user_id``,
        ``product_id``, ``timestamp`` and ``event_type``, in the order of the file.
    """
    length_U = np.array([len(items) for items in read.sequences])
    from_end_E = np.repeat(np.cumsum(length_U), length_U) - np.arange(length_U.sum())
    kept_E = np.flatnonzero(from_end_E <= longest)
    if len(kept_E) < len(from_end_E):
        logger.warning(
            "Sequences of %d users are longer than %d items: their oldest %d of %d items are cut.",
            np.count_nonzero(length_U > longest),
            longest,
            len(from_end_E) - len(kept_E),
            len(from_end_E),
        )
    user_E = np.repeat(np.arange(len(length_U)), length_U)[kept_E]
    day_E = (as_of - ALWAYS) // DAY - from_end_E[kept_E]
    return pl.DataFrame(
        {
            c.SOURCE_ROW: kept_E + 1,
            c.USER_ID: pl.Series(read.users)[user_E],
            c.PRODUCT_ID: pl.Series(read.items)[np.concatenate(read.sequences)[kept_E]],
            c.TIMESTAMP: pl.Series(day_E.astype("datetime64[D]")).cast(UTC_TIME),
        }
    ).with_columns(pl.lit(c.PURCHASE).alias(c.EVENT_TYPE))


def described_products(items: Sequence[str], attributes: Attributes) -> pl.DataFrame:
    """One row per item of either file: the whole catalogue is known from the start.

    Without times nothing tells when a product came into the catalogue; published figures on
    such files rank all of it too.

    Args:
        items: those of the sequences.
        attributes: of items; others may be among them.

    Returns:
        ``product_id``, ``name`` (the attributes as words, see :func:`word_of`; empty where
        there are none) and ``created_at``, sorted by id.
    """
    ids = sorted({*items, *attributes})
    distinct = {one for of_item in attributes.values() for one in of_item}
    word = {one: word_of(one) for one in distinct}
    merged = len(word) - len(set(word.values()))
    if merged:
        logger.warning("%d attributes are the same word as another one.", merged)
    names = [" ".join(dict.fromkeys(word[one] for one in attributes.get(id_, ()))) for id_ in ids]
    return pl.DataFrame(
        {c.PRODUCT_ID: ids, c.NAME: [name or None for name in names]},
        schema={c.PRODUCT_ID: pl.String, c.NAME: pl.String},
    ).with_columns(pl.lit(ALWAYS).cast(UTC_TIME).alias(c.CREATED_AT))


def word_of(attribute: int | str) -> str:
    """One word of a name: ``a12`` of the number 12; of a text its letters and digits.

    The encoders cut names into words of letters and digits, in lower case, so that
    ``Hair Care`` would be two; it becomes ``haircare``.

    Raises:
        ValueError: a text has neither letters nor digits, or a number is negative.
    """
    if isinstance(attribute, int):
        word = f"a{attribute}" if attribute >= 0 else ""
    else:
        # Lower case may leave accents of their own, which end a word.
        lower = attribute.lower()
        word = "".join(x for x in lower if unicodedata.category(x)[0] in LETTERS_AND_DIGITS)
    if not word:
        msg = f"attribute {attribute!r}: want a number from 0, or a text with letters or digits"
        raise ValueError(msg)
    return word


def _each_once(source: str, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    listed: dict[str, Any] = {}
    for item, of_item in pairs:
        if item in listed:
            msg = f"{source}, item {item!r}: stands there twice"
            raise ValueError(msg)
        listed[item] = of_item
    return listed


def _midnight(as_of: str) -> datetime:
    try:
        time = AS_OF.validate_python(as_of).astimezone(UTC)
    except ValidationError as error:
        msg = f"as_of is '{as_of}'; want a time with its zone, as 2020-01-01T00:00:00+00:00"
        raise DatasetError(msg) from error
    if time != time.replace(hour=0, minute=0, second=0, microsecond=0):
        msg = f"as_of is {time.isoformat()}; want a midnight in UTC, where the windows begin"
        raise DatasetError(msg)
    return time


def _content(filepath: str) -> bytes:
    fs, path = located(filepath)
    if not fs.isfile(path):
        msg = f"no file at '{filepath}'"
        raise ValueError(msg)
    with fs.open(path, compression="infer") as file:
        content: bytes = file.read()
    return content


def _decoded(raw: bytes, where: str) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        msg = f"{where}: not UTF-8 ({error})"
        raise ValueError(msg) from error
