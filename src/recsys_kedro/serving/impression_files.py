"""The impression log as files: a journal per process, made into Parquet when it is due.

A line of a journal is an answer. It is in the page cache of the system when :meth:`write`
returns, so a killed process loses nothing that was written; a power cut can lose what is younger
than the system's own write-back. What the journal of an ended process holds, any other process
makes into Parquet. A Parquet file is named after its journal and appears whole or not at all,
so that a step that was cut short is done again with the same result::

    journal-<pid>-<start>.jsonl                       being written; its owner holds a lock
    date=2024-06-01/impressions-<pid>-<start>.parquet  the rows of that journal and that day
    date=2024-06-01/inputs-<pid>-<start>.parquet       what the model was given, of a sample

The folder belongs to one machine: locks of network file systems differ.
"""

import fcntl
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, BinaryIO, Self

import orjson
import polars as pl

from recsys_kedro import columns as c
from recsys_kedro.ranking.onboarding import ONBOARDING
from recsys_kedro.schemas import IMPRESSIONS, SERVED_INPUTS
from recsys_kedro.serving.histories import SENT, Asked
from recsys_kedro.serving.impressions import ShownAnswer

LOGGER = logging.getLogger(__name__)

JOURNAL, IMPRESSION, INPUT = "journal-", "impressions-", "inputs-"
JOURNALS = f"{JOURNAL}*.jsonl"
PER_PRODUCT = (c.POSITION, c.PRODUCT_ID, c.SCORE, c.PROPENSITY, c.SOURCE)
ROW = {name: column.dtype.type for name, column in IMPRESSIONS.columns.items()}
GIVEN = {name: column.dtype.type for name, column in SERVED_INPUTS.columns.items()}
OF_THE_ANSWER = (c.RECOMMENDATION_ID, c.USER_ID)
INPUTS = "inputs"
LINE = {name: pl.List(dtype) if name in PER_PRODUCT else dtype for name, dtype in ROW.items()} | {
    INPUTS: pl.Struct({name: dtype for name, dtype in GIVEN.items() if name not in OF_THE_ANSWER})
}
DAY = "day"


class ParquetImpressions:
    """An :class:`ImpressionSink` that writes files into one folder, with others beside it.

    Attributes:
        torn: lines of journals that were cut off, and lost.
    """

    def __init__(self, folder: Path, rows_per_file: int, seconds_per_file: float) -> None:
        """Touch nothing yet.

        Args:
            folder: is made with the first write.
            rows_per_file: shown products that make a journal due.
            seconds_per_file: age that makes it due.
        """
        self.torn = 0
        self._folder = folder
        self._rows, self._seconds = rows_per_file, seconds_per_file
        self._journal: _Journal | None = None

    def write(self, shown: Sequence[ShownAnswer]) -> None:
        """See :meth:`ImpressionSink.write`."""
        lines = b"".join(answer_line(each) for each in shown)
        if self._journal is None:
            self._journal = _Journal.create(self._folder)
        self._journal.append(lines)
        self._journal.rows += sum(len(each.answer.items) for each in shown)

    def tend(self) -> None:
        """Make Parquet of the own journal if it is due, and of those whose process has ended."""
        journal = self._journal
        if journal and (journal.rows >= self._rows or journal.age_s >= self._seconds):
            self._finish(journal)
        for path in sorted(self._folder.glob(JOURNALS)):
            # Another process may have been faster.
            with suppress(FileNotFoundError), path.open("rb") as file:
                if _lock(file):
                    self._compact(path)

    def close(self) -> None:
        """Make Parquet of the journal."""
        if self._journal is not None:
            self._finish(self._journal)

    def _finish(self, journal: "_Journal") -> None:
        self._compact(journal.path)
        journal.file.close()
        self._journal = None

    def _compact(self, journal: Path) -> None:
        answers, torn = _read_journal(journal)
        if torn:
            self.torn += torn
            LOGGER.warning("%s: %d torn lines are lost, the others kept", journal, torn)
        for kind in (_SHOWN, _GIVEN):
            for day, part in kind.by_day(answers):
                _write_whole(part, kind.file_of(journal, day))
        journal.unlink()


def read_impressions(folder: Path) -> pl.DataFrame:
    """All that is logged in ``folder``, also what is in journals still, as ``IMPRESSIONS``.

    One row per shown product, sorted by timestamp, recommendation_id, position. A server may be
    writing meanwhile.

    Raises:
        FileNotFoundError: if there is no such folder.
    """
    return _read(folder, _SHOWN).sort(c.TIMESTAMP, c.RECOMMENDATION_ID, c.POSITION)


def read_served_inputs(folder: Path) -> pl.DataFrame:
    """What the model was given, of the sampled answers in ``folder``, as ``SERVED_INPUTS``.

    One row per answer, sorted by as_of, recommendation_id.

    Raises:
        FileNotFoundError: if there is no such folder.
    """
    return _read(folder, _GIVEN).sort(c.AS_OF, c.RECOMMENDATION_ID)


@dataclass(frozen=True)
class _Kind:
    """One of the tables that a journal becomes.

    Attributes:
        prefix: of its files.
        schema: of its rows.
        rows_of: from answers to its rows.
    """

    prefix: str
    schema: Mapping[str, Any]
    rows_of: Callable[[pl.DataFrame], pl.DataFrame]

    def by_day(self, answers: pl.DataFrame) -> Iterator[tuple[date, pl.DataFrame]]:
        """The rows of each day of the log."""
        dated = answers.with_columns(pl.col(c.TIMESTAMP).dt.date().alias(DAY))
        for (day,), part in dated.partition_by(DAY, include_key=False, as_dict=True).items():
            rows = self.rows_of(part).select(*self.schema)
            if not rows.is_empty():
                yield day, rows

    def file_of(self, journal: Path, day: date) -> Path:
        """Where the rows of a journal and a day go."""
        name = journal.stem.replace(JOURNAL, self.prefix, 1)
        return journal.parent / f"date={day}" / f"{name}.parquet"


def _products_shown(answers: pl.DataFrame) -> pl.DataFrame:
    return answers.explode(PER_PRODUCT)


def _what_was_given(answers: pl.DataFrame) -> pl.DataFrame:
    sampled = answers.filter(pl.col(INPUTS).struct.field(c.AS_OF).is_not_null())
    return sampled.select(*OF_THE_ANSWER, INPUTS).unnest(INPUTS)


_SHOWN = _Kind(IMPRESSION, ROW, _products_shown)
_GIVEN = _Kind(INPUT, GIVEN, _what_was_given)


def _read(folder: Path, kind: _Kind) -> pl.DataFrame:
    if not folder.is_dir():
        msg = f"no impressions: {folder} is not a folder; is it the server's impressions_folder?"
        raise FileNotFoundError(msg)
    # Journals first: one that becomes Parquet meanwhile is then seen twice, not never.
    journals = list(_journals(folder))
    files = sorted(folder.glob(f"date=*/{kind.prefix}*.parquet"))
    there = set(files)
    parts = [pl.DataFrame(schema=kind.schema)]
    parts += [pl.read_parquet(path, hive_partitioning=False) for path in files]
    for journal, answers in journals:
        parts += [
            rows for day, rows in kind.by_day(answers) if kind.file_of(journal, day) not in there
        ]
    return pl.concat(parts)


class _Journal:
    """The file that a process appends to, and holds the lock of."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path, self.file = path, file
        self.rows = 0
        self._size = 0
        self._start = time.monotonic()

    @classmethod
    def create(cls, folder: Path) -> Self:
        """A new journal. It gets its name when it is locked, so that nobody takes it over."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{JOURNAL}{os.getpid()}-{time.time_ns()}.jsonl"
        unlocked = path.with_suffix(".new")
        file = unlocked.open("xb", buffering=0)
        fcntl.flock(file, fcntl.LOCK_EX)
        unlocked.rename(path)
        return cls(path, file)

    @property
    def age_s(self) -> float:
        """Seconds since it was made."""
        return time.monotonic() - self._start

    def append(self, lines: bytes) -> None:
        """All or nothing."""
        rest = memoryview(lines)
        try:
            while rest:
                rest = rest[self.file.write(rest) :]
        except OSError as error:
            # What was written of them would come twice with the next try.
            self.file.truncate(self._size)
            self.file.seek(self._size)
            raise OSError(error.errno, error.strerror, str(self.path)) from error
        self._size += len(lines)


def answer_line(shown: ShownAnswer) -> bytes:
    """An answer as a line of JSON."""
    answer, items = shown.answer, shown.answer.items
    return orjson.dumps(
        {
            c.RECOMMENDATION_ID: answer.recommendation_id,
            c.USER_ID: answer.user_id,
            c.TIMESTAMP: shown.timestamp,
            c.SESSION_ID: shown.session_id,
            c.DEVICE_TYPE: shown.device_type,
            c.POSITION: [item.rank for item in items],
            c.PRODUCT_ID: [item.product_id for item in items],
            c.SCORE: [item.score for item in items],
            c.PROPENSITY: [item.propensity for item in items],
            c.SOURCE: [item.source for item in items],
            c.MODEL: answer.model,
            c.MODEL_VERSION: answer.model_version,
            c.VARIANTS: [
                {c.EXPERIMENT: experiment, c.VARIANT: variant}
                for experiment, variant in shown.variants.items()
            ],
            c.FALLBACK: answer.fallback,
            c.FROM_CACHE: answer.from_cache,
            c.LATENCY_MS: answer.latency_ms,
            c.HISTORY_LENGTH: shown.history_length,
            INPUTS: None if shown.inputs is None else _inputs(shown.inputs),
        },
        # A server does not check what it made itself: a score may be a number of NumPy's.
        option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_SERIALIZE_NUMPY,
    )


def _inputs(asked: Asked) -> dict[str, Any]:
    history = asked.history
    return {
        c.AS_OF: asked.time,
        c.PRODUCT_ID: history[c.PRODUCT_ID].to_list(),
        c.EVENT_TYPE: history[c.EVENT_TYPE].to_list(),
        c.EVENT_TIME: history[c.TIMESTAMP].to_list(),
        c.PRICE: history[c.PRICE].to_list(),
        c.SENT: int(history[c.SESSION_ID].is_in([SENT, ONBOARDING]).sum()),
        c.PROFILE: orjson.dumps(dict(asked.profile), option=orjson.OPT_SERIALIZE_NUMPY).decode(),
    }


def _lock(file: BinaryIO) -> bool:
    """Whether the lock was free, and now is ours until the file is closed."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _journals(folder: Path) -> Iterator[tuple[Path, pl.DataFrame]]:
    for path in sorted(folder.glob(JOURNALS)):
        with suppress(FileNotFoundError):  # became Parquet
            yield path, _read_journal(path)[0]


def _read_journal(path: Path) -> tuple[pl.DataFrame, int]:
    """Its answers, and how many lines were torn."""
    whole, _, rest = path.read_bytes().rpartition(b"\n")
    try:
        answers, torn = pl.read_ndjson(whole, schema=LINE), 0
    except pl.exceptions.ComputeError:
        # Only a power cut tears a line that is not the last: look at each.
        lines = whole.split(b"\n")
        kept = [line for line in lines if _is_json(line)]
        answers, torn = pl.read_ndjson(b"\n".join(kept), schema=LINE), len(lines) - len(kept)
    return answers, torn + bool(rest)


def _is_json(line: bytes) -> bool:
    try:
        orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    return True


def _write_whole(rows: pl.DataFrame, path: Path) -> None:
    """The file is there with all rows, also after a power cut, or not at all."""
    path.parent.mkdir(exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    with part.open("wb") as file:
        rows.write_parquet(file)
        file.flush()
        os.fsync(file.fileno())
    part.rename(path)
