"""From a topic to partitioned Parquet: a bounded run that any crash may cut short.

What is landed is what the files say (see :mod:`.landed_files`); the next run starts one past it.
So an event is landed once, whenever the process ends. Offsets are committed to the broker in the
end, for its monitoring of the lag only.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from time import perf_counter

import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from recsys_kedro import columns as c
from recsys_kedro.streams.broker import Span, TopicReader
from recsys_kedro.streams.landed_files import LandedFiles, Offsets
from recsys_kedro.streams.messages import DEAD_LETTER, EventFormat, UnusableError
from recsys_kedro.streams.options import KAFKA_OFFSET, KAFKA_PARTITION, LandingOptions
from recsys_kedro.streams.sending import Outgoing, Sender

LOGGER = logging.getLogger(__name__)

MOST_COPIED = 900_000  # bytes; with its key a larger message may not fit into another topic

MADE_ANEW = (
    "it is another topic of the same name. Land it into a folder of its own (landing.folder), or "
    "give the new topic a name of its own (landing.topic)"
)


class LandedPartition(BaseModel):
    """What became of a partition's messages; offsets are those of the broker."""

    model_config = ConfigDict(frozen=True)

    partition: int
    start: int = Field(description="the first offset that was not landed before")
    next_offset: int = Field(description="where the next landing starts")
    landed: int = Field(description="events in files")
    dead_letters: dict[str, int] = Field(description="unusable messages by reason")
    gone: int = Field(description="offsets that the broker dropped before they were landed")
    bytes: int = Field(description="of the messages")
    files: int
    lag: int = Field(description="offsets that came meanwhile, or are not final yet")

    @property
    def consumed(self) -> int:
        """Messages read: each is landed or a dead letter."""
        return self.landed + sum(self.dead_letters.values())


class LandingReport(BaseModel):
    """What one landing did."""

    model_config = ConfigDict(frozen=True)

    topic: str
    partitions: list[LandedPartition] = Field(default_factory=list)
    landed: int = 0
    dead_letters: dict[str, int] = Field(default_factory=dict)
    gone: int = 0
    bytes: int = 0
    files: int = 0
    lag: int = 0
    seconds: float = 0.0
    rows_per_second: float = 0.0
    note: str = Field("", description="why nothing was landed, where that is so")


def land(options: LandingOptions) -> LandingReport:
    """Land what every partition has now, and no more.

    Raises:
        ModuleNotFoundError: the client library is not installed.
        ConnectionError: the broker does not answer, or falls silent. What is landed stays.
        BlockingIOError, FileExistsError: another landing is at the same topic.
        NotDeliveredError: the topic of dead letters did not take them.
        LookupError: the broker has dropped messages that were not landed (``on_gap``).
        ValueError: a client setting is wrong, there is no such topic, or it is not the one that
            was landed before.
    """
    clock = perf_counter()
    files = LandedFiles(options.folder, options.topic)
    with (
        files.locked(),
        TopicReader(options, options.topic, options.group, options.timeout_s) as reader,
    ):
        spans = reader.spans()
        starts = {number: _start(files, options, number, span) for number, span in spans.items()}
        _check_partitions(files, options, spans)
        landing = _Landing(options, files, reader)
        done = [landing.run(number, *starts[number], span.high) for number, span in spans.items()]
        ends = reader.spans()
        reader.commit({one.partition: one.next_offset for one in done})
    done = [
        one.model_copy(update={"lag": ends[one.partition].high - one.next_offset}) for one in done
    ]
    report = _report(options.topic, done, perf_counter() - clock)
    LOGGER.info(
        "%s: %d events landed, %d dead letters, %d offsets gone, %d to come; %d events/s",
        report.topic,
        report.landed,
        sum(report.dead_letters.values()),
        report.gone,
        report.lag,
        report.rows_per_second,
    )
    return report


class _Batch:
    """The messages of one file: lines of events, and dead letters."""

    def __init__(self, event_format: EventFormat) -> None:
        self.messages = self.bytes = 0
        self.first = self.last = 0
        self._format = event_format
        self._offsets: list[int] = []
        self._lines: list[bytes] = []
        self.dead: list[tuple[int, str, bytes | None]] = []

    def add(self, offset: int, value: bytes | None) -> None:
        """Judge a message and keep it; the next one has a higher offset."""
        if self.messages == 0:
            self.first = offset
        self.last = offset
        self.messages += 1
        self.bytes += len(value or b"")
        try:
            self._lines.append(self._format.line(value))
        except UnusableError as reason:
            self.dead.append((offset, str(reason), value))
        else:
            self._offsets.append(offset)

    def events(self, partition: int) -> pl.DataFrame:
        """One row per event, in the order of the offsets."""
        return self._format.table(self._lines).with_columns(
            pl.lit(partition, pl.Int64).alias(KAFKA_PARTITION),
            pl.Series(KAFKA_OFFSET, self._offsets, pl.Int64),
        )

    def dead_letters(self, partition: int) -> pl.DataFrame:
        """One row per unusable message, in the order of the offsets."""
        rows = [(partition, *letter) for letter in self.dead]
        return pl.DataFrame(rows, DEAD_LETTER, orient="row")

    def reasons(self) -> Counter[str]:
        """Dead letters by the code that their reason begins with."""
        return Counter(reason.partition(":")[0] for _, reason, _ in self.dead)


class _Landing:
    """One run over the partitions of a topic."""

    def __init__(self, options: LandingOptions, files: LandedFiles, reader: TopicReader) -> None:
        self._options, self._files, self._reader = options, files, reader
        self._format = EventFormat(options.fields, options.required_fields)
        self._sender = Sender(options, options.timeout_s) if options.dead_letter_topic else None

    def run(self, partition: int, start: int, gone: int, end: int) -> LandedPartition:
        """Land the messages from ``start`` to before ``end``, file by file."""
        self._files.forget_unfinished(partition, start)
        landed = bytes_ = files = 0
        next_offset = start
        reasons = Counter[str]()
        for batch in self._batches(partition, start, end):
            if self._sender is not None:
                self._sender.send(self._options.dead_letter_topic, self._letters(partition, batch))
            events = batch.events(partition)
            offsets = Offsets(batch.first, batch.last)
            self._files.add(partition, offsets, events, batch.dead_letters(partition))
            next_offset = batch.last + 1
            landed, bytes_, files = landed + events.height, bytes_ + batch.bytes, files + 1
            reasons += batch.reasons()
        return LandedPartition(
            partition=partition,
            start=start,
            next_offset=next_offset,
            landed=landed,
            dead_letters=dict(reasons),
            gone=gone,
            bytes=bytes_,
            files=files,
            lag=end - next_offset,
        )

    def _batches(self, partition: int, start: int, end: int) -> Iterator[_Batch]:
        options, batch = self._options, _Batch(self._format)
        for messages in self._reader.read(partition, start, end):
            for offset, value in messages:
                batch.add(offset, value)
                if batch.messages >= options.rows_per_file or batch.bytes >= options.bytes_per_file:
                    yield batch
                    batch = _Batch(self._format)
        if batch.messages:
            yield batch

    def _letters(self, partition: int, batch: _Batch) -> list[Outgoing]:
        """With the position as the key: who reads the topic can tell a repeated letter.

        A very large one comes without its value, which the file has.
        """
        return [
            Outgoing(
                key=f"{self._options.topic}/{partition}/{offset}".encode(),
                value=None if len(message or b"") > MOST_COPIED else message,
                headers={c.REASON: reason.encode()},
            )
            for offset, reason, message in batch.dead
        ]


def _start(
    files: LandedFiles, options: LandingOptions, partition: int, span: Span
) -> tuple[int, int]:
    """Where to start, and how many offsets before it are gone for ever."""
    landed = files.next_offset(partition)
    if landed is None:
        return span.low, 0
    where = f"{options.topic}, partition {partition}"
    if landed > span.high:
        msg = (
            f"{where}: offsets up to {landed - 1} are landed, but the broker ends at "
            f"{span.high - 1}: {MADE_ANEW}"
        )
        raise ValueError(msg)
    gone = max(span.low - landed, 0)
    if gone:
        msg = f"{where}: the broker has dropped offsets {landed} to {span.low - 1} ({gone:,})"
        if options.on_gap == "fail":
            msg += (
                ". Land more often than it forgets, or keep messages longer. To go on without "
                "them, once, set landing.on_gap to count"
            )
            raise LookupError(msg)
        LOGGER.warning("%s; they were never landed and are counted as gone", msg)
    return span.low if gone else landed, gone


def _check_partitions(files: LandedFiles, options: LandingOptions, there: Iterable[int]) -> None:
    missing = sorted(set(files.partitions()) - set(there))
    if missing:
        msg = (
            f"{options.topic}: partitions {missing} are landed, but the broker does not have them: "
            f"{MADE_ANEW}"
        )
        raise ValueError(msg)


def _report(topic: str, done: Sequence[LandedPartition], seconds: float) -> LandingReport:
    reasons = Counter[str]()
    for one in done:
        reasons += Counter(one.dead_letters)
    return LandingReport(
        topic=topic,
        partitions=list(done),
        landed=sum(one.landed for one in done),
        dead_letters=dict(reasons),
        gone=sum(one.gone for one in done),
        bytes=sum(one.bytes for one in done),
        files=sum(one.files for one in done),
        lag=sum(one.lag for one in done),
        seconds=round(seconds, 3),
        rows_per_second=round(sum(one.consumed for one in done) / seconds, 1),
    )
