"""Source rows are told apart block by block: good events, refused, excluded, duplicates."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys_kedro import columns as c
from recsys_kedro.one_ahead import one_ahead
from recsys_kedro.pipelines.ingestion.duplicates import (
    CONTENT_HASHES,
    EXACT,
    SAME_EVENT_ID,
    content_hashes,
    event_id_hash,
    repeats,
)
from recsys_kedro.pipelines.ingestion.exclusions import excluded_by
from recsys_kedro.pipelines.ingestion.normalise import normalise_events
from recsys_kedro.pipelines.ingestion.options import EVENT_COLUMNS, IngestionOptions
from recsys_kedro.pipelines.ingestion.parts import (
    SAMPLED_PER_PART,
    EventParts,
    borders_between,
    compact,
)
from recsys_kedro.pipelines.ingestion.validate import (
    Refused,
    refused_by_code,
    refused_in,
    rejected_rows,
    rejection_reasons,
)
from recsys_kedro.spill import SpillFolder

ROWS_AT_ONCE = 1_000_000  # are judged; bounds the memory for what a row is told apart by
EVENTS, REJECTED = "events", "rejected"  # tables of the spill folder


@dataclass(frozen=True)
class Screening:
    """What became of the rows.

    Attributes:
        counts: ``rows_read``, ``excluded`` by rule, ``rejected`` by code, ``duplicates`` by
            kind, ``kept``.
        refused: per code how many rows, and the first of them.
    """

    counts: dict[str, Any]
    refused: tuple[Refused, ...]


class Screened(NamedTuple):
    """What screening makes of the source.

    Attributes:
        events: the good rows, each event once: ``source_row`` and the mapped columns in their
            types.
        rejected: the refused rows, see ``schemas.REJECTED_EVENTS``, in the order of the source,
            one frame or more.
        screening: what became of the rows.
    """

    events: EventParts
    rejected: Iterator[pl.DataFrame]
    screening: Screening


class _Judged(NamedTuple):
    """Some rows of the source, told apart: ``excluded`` names the rule, by row."""

    events: pl.DataFrame
    rejected: pl.DataFrame
    excluded: pl.Series


@dataclass
class _Seen:
    """What is remembered of the blocks that have been judged."""

    rows: int = 0
    good: int = 0
    excluded: Counter[str] = field(default_factory=Counter)
    refused: list[Refused] = field(default_factory=list)
    users: list[pl.Series] = field(default_factory=list)
    contents: list[NDArray[np.uint64]] = field(default_factory=list)
    event_ids: list[NDArray[np.uint64]] = field(default_factory=list)


def screen_blocks(
    source: pl.DataFrame | Iterable[pl.DataFrame],
    spill: SpillFolder,
    options: IngestionOptions,
    latest: datetime | None,
) -> Screened:
    """Judge the source block by block, keep what is good on the disk, then find duplicates.

    Each block is kept sorted by user, so that a range of users is quickly read from all blocks.

    Args:
        source: the raw rows, one frame or frames of the same columns one after the other.
        spill: empty; gets the good and the refused rows.
        options: how the shop writes, what it excludes, how large a part is.
        latest: the time of the run, UTC. Empty: no event is in the future.

    Raises:
        ValueError: a column that is mapped or indispensable is not there.
    """
    seen = _Seen()
    blocks = numbered(in_blocks(source, ROWS_AT_ONCE))
    for judged in one_ahead(_judge(block, options, latest) for block in blocks):
        by_user = judged.events.sort(c.USER_ID)
        spill.append(EVENTS, by_user)
        if judged.rejected.height or not seen.rows:
            spill.append(REJECTED, judged.rejected)
        _remember(judged, by_user, seen, options)
    stored = spill.scan(EVENTS)
    kept, duplicates = _without_duplicates(stored, seen)
    refused = refused_by_code(seen.refused)
    counts = {
        "rows_read": seen.rows,
        "excluded": {rule.name: seen.excluded[rule.name] for rule in options.source.exclude},
        "rejected": {each.code: each.rows for each in refused},
        "duplicates": duplicates,
        "kept": seen.good - sum(duplicates.values()),
    }
    return Screened(
        EventParts(kept, borders_between(pl.concat(seen.users), seen.good, options.rows_per_part)),
        spill.pieces(REJECTED),
        Screening(counts, refused),
    )


def in_blocks(source: pl.DataFrame | Iterable[pl.DataFrame], rows: int) -> Iterator[pl.DataFrame]:
    """The same rows in blocks of ``rows``, the last of which may have fewer; one at least.

    Args:
        source: one frame, or frames of the same columns one after the other.
        rows: how many.
    """
    waiting: list[pl.DataFrame] = []
    given = False
    for frame in [source] if isinstance(source, pl.DataFrame) else source:
        waiting.append(frame)
        if sum(part.height for part in waiting) < rows:
            continue
        together = pl.concat(waiting)
        full = together.height // rows * rows
        yield from together[:full].iter_slices(rows)
        waiting, given = [together[full:]], True
    if not given or any(part.height for part in waiting):
        yield pl.concat(waiting)


def numbered(blocks: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """Each block with ``source_row``: its own, or the position in the whole source from 1."""
    before = 0
    for block in blocks:
        has_own = c.SOURCE_ROW in block.columns
        yield block if has_own else block.with_row_index(c.SOURCE_ROW, offset=before + 1)
        before += block.height


def _judge(raw: pl.DataFrame, options: IngestionOptions, latest: datetime | None) -> _Judged:
    excluded = excluded_by(raw, options)
    normalised = normalise_events(raw, options)
    reasons = rejection_reasons(normalised, options, latest)
    reasons = reasons.set(excluded.is_not_null(), None)
    rejected = rejected_rows(raw, normalised[c.SOURCE_ROW], reasons)
    good = excluded.is_null() & reasons.is_null()
    events = normalised.filter(good).select(c.SOURCE_ROW, *EVENT_COLUMNS)
    return _Judged(events.hstack(content_hashes(raw.filter(good))), rejected, excluded)


def _remember(
    judged: _Judged, events: pl.DataFrame, seen: _Seen, options: IngestionOptions
) -> None:
    seen.rows += len(judged.excluded)
    seen.good += events.height
    seen.excluded.update(dict(judged.excluded.drop_nulls().value_counts().iter_rows()))
    seen.refused.extend(refused_in(judged.rejected))
    every = max(options.rows_per_part // SAMPLED_PER_PART, 1)
    seen.users.append(compact(events[c.USER_ID].gather_every(every)))
    seen.contents.append(events[CONTENT_HASHES[0]].to_numpy())
    with_id = events.filter(pl.col(c.EVENT_ID).is_not_null())
    seen.event_ids.append(with_id.select(event_id_hash()).to_series().to_numpy())


def _without_duplicates(stored: pl.LazyFrame, seen: _Seen) -> tuple[pl.LazyFrame, dict[str, int]]:
    """The events of ``stored`` that no earlier row has told of, and how many have been."""
    contents, seen.contents = np.concatenate(seen.contents), []
    exact = repeats(stored, pl.col(CONTENT_HASHES[0]), CONTENT_HASHES, contents)
    del contents
    event_ids, seen.event_ids = np.concatenate(seen.event_ids), []
    with_id = stored.filter(pl.col(c.EVENT_ID).is_not_null())
    same_id = repeats(with_id, event_id_hash(), [c.EVENT_ID], event_ids)
    told = pl.concat([exact, same_id]).unique().sort()
    events = stored.select(c.SOURCE_ROW, *EVENT_COLUMNS)
    if len(told):
        events = events.join(told.to_frame().lazy(), on=c.SOURCE_ROW, how="anti")
    return events, {EXACT: len(exact), SAME_EVENT_ID: len(told) - len(exact)}
