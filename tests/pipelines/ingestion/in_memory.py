"""The ingestion of events with all of them in memory: what the parts must come to."""

from itertools import accumulate, pairwise

import polars as pl

from recsys_kedro import columns as c
from recsys_kedro import schemas
from recsys_kedro.pipelines.ingestion.exclusions import excluded_by
from recsys_kedro.pipelines.ingestion.from_events import TOLD_BY_EVENTS
from recsys_kedro.pipelines.ingestion.normalise import normalise_events
from recsys_kedro.pipelines.ingestion.options import EVENT_COLUMNS
from recsys_kedro.pipelines.ingestion.sessions import with_sessions
from recsys_kedro.pipelines.ingestion.validate import rejected_rows, rejection_reasons


def ingested(raw, options):
    """``admitted`` rows in the source's order, the ``events``, the ``rejected``, the ``counts``."""
    excluded = excluded_by(raw, options)
    normalised = normalise_events(raw, options)
    reasons = rejection_reasons(normalised, options, None).set(excluded.is_not_null(), None)
    good = excluded.is_null() & reasons.is_null()
    content = raw.filter(good).drop(c.SOURCE_ROW, strict=False)
    exact = ~content.select(pl.struct(pl.all()).is_first_distinct()).to_series()
    events = normalised.filter(good).select(c.SOURCE_ROW, *EVENT_COLUMNS)
    ids = events[c.EVENT_ID]
    same_id = ids.is_not_null() & ~ids.is_first_distinct()
    admitted = events.filter(~exact & ~same_id)
    ordered = admitted.sort(c.USER_ID, c.TIMESTAMP, c.SOURCE_ROW)
    sessions = with_sessions(ordered, options.session_gap_minutes)
    codes = reasons.drop_nulls().str.split(": ").list.first().to_list()
    return {
        "admitted": admitted,
        "events": sessions.select(list(schemas.EVENTS.columns)),
        "rejected": rejected_rows(raw, normalised[c.SOURCE_ROW], reasons),
        "counts": {
            "rows_read": raw.height,
            "excluded": {r.name: (excluded == r.name).sum() for r in options.source.exclude},
            "rejected": {code: codes.count(code) for code in codes},
            "duplicates": {"exact": exact.sum(), "event_id": (same_id & ~exact).sum()},
            "kept": admitted.height,
        },
    }


def told_products(events):
    """One row per product, sorted by it, with all of its events at once."""
    sold = pl.col(c.PRICE).filter(pl.col(c.EVENT_TYPE) != c.RETURN)
    values = {name: pl.col(name).drop_nulls().sort().mode().min() for name in TOLD_BY_EVENTS}
    first = pl.col(c.TIMESTAMP).min().alias(c.CREATED_AT)
    return events.group_by(c.PRODUCT_ID).agg(first, sold.median(), **values).sort(c.PRODUCT_ID)


def cut(frame, sizes):
    """The frame in pieces of ``sizes``, and what is left."""
    ends = [0, *accumulate(sizes), frame.height]
    return [frame[start:end] for start, end in pairwise(ends)]
