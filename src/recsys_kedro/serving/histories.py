"""From requests and what is stored of their users to the queries that a model answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from recsys_kedro import columns as c
from recsys_kedro.queries import CONTEXT_COLUMNS, HISTORY_COLUMNS, Queries
from recsys_kedro.schemas import UTC_TIME
from recsys_kedro.serving.requests import RecommendationRequest
from recsys_kedro.serving.snapshot import NO_HISTORY

STALE_AFTER = timedelta(days=60)
MOMENT = timedelta(microseconds=1)
SENT = "request"  # the session of events that came with the request


@dataclass(frozen=True)
class Asked:
    """One request with what is known of its user.

    Attributes:
        request: as checked.
        time: UTC; the answer is for this time.
        history: past events before ``time``, newest last, see ``HISTORY_COLUMNS``.
        profile: user features by name; empty where the user is unknown.
        degraded: why history or profile may be less than was stored, or None.
    """

    request: RecommendationRequest
    time: datetime
    history: pl.DataFrame
    profile: Mapping[str, Any]
    degraded: str | None = None


def time_of(request: RecommendationRequest, as_of: datetime, now: datetime) -> datetime:
    """When the answer is for: what the request says, else now, else the data's own time.

    A model whose data ended long ago would see every history as forgotten now.
    """
    if request.context.time is not None:
        return request.context.time
    return as_of if now - as_of > STALE_AFTER else now


def history_of(
    request: RecommendationRequest, stored: pl.DataFrame, liked: pl.DataFrame, time: datetime
) -> pl.DataFrame:
    """Stored and sent events before ``time``, newest last.

    A request that names its time asks as of then: what is later does not count. Otherwise what
    seems to be later comes from a clock that is ahead, and has just happened.

    Args:
        request: its events, and the product of its page, which counts as a view.
        stored: what the online store has.
        liked: the answers to the onboarding quiz as events.
        time: see :func:`time_of`.
    """
    history = _joined([stored, liked, _sent(request, time - MOMENT)])
    if history.is_empty():
        return history
    latest = history[c.TIMESTAMP].max()
    assert isinstance(latest, datetime)  # not empty
    if latest < time:
        return history
    if request.context.time is not None:
        return history.filter(pl.col(c.TIMESTAMP) < time)
    just_before = pl.lit(time - MOMENT, UTC_TIME)
    clamped = pl.min_horizontal(c.TIMESTAMP, just_before).alias(c.TIMESTAMP)
    return history.with_columns(clamped)


def _joined(parts: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """All rows in the order of time; a single part is in that order."""
    parts = [part for part in parts if not part.is_empty()] or list(parts[:1])
    if len(parts) == 1:
        return parts[0]
    return pl.concat(parts).sort(c.TIMESTAMP, maintain_order=True)


def _sent(request: RecommendationRequest, just_before: datetime) -> pl.DataFrame:
    """What came with the request; an event without a time has just happened."""
    sent: list[tuple[str, str, datetime, float | None, float]] = [
        (each.product_id, each.event_type, each.timestamp or just_before, each.price, each.quantity)
        for each in request.events
    ]
    if request.context.product_id is not None:
        sent.append((request.context.product_id, c.PRODUCT_VIEW, just_before, None, 1.0))
    if not sent:
        return NO_HISTORY
    product, kind, time, price, quantity = zip(*sent, strict=True)
    columns = {
        c.PRODUCT_ID: product,
        c.EVENT_TYPE: kind,
        c.TIMESTAMP: time,
        c.SESSION_ID: [SENT] * len(sent),
        c.PRICE: price,
        c.QUANTITY: quantity,
    }
    return pl.DataFrame(columns, schema=NO_HISTORY.schema)


def queries_of(asked: Sequence[Asked], profile_schema: Mapping[str, Any]) -> Queries:
    """The requests as queries, in their order; profiles are filled with empty values."""
    # By row: column by column a frame of one row costs five times as much.
    requests = [
        {
            **each.profile,
            c.USER_ID: each.request.user_id,
            c.AS_OF: each.time,
            c.DEVICE_TYPE: each.request.context.device_type,
            c.CATEGORY: each.request.context.category,
            c.SEARCH_QUERY: each.request.context.search_query,
            c.LIVE: True,
        }
        for each in asked
    ]
    schema: dict[str, Any] = {
        c.USER_ID: pl.String,
        **profile_schema,
        c.AS_OF: UTC_TIME,
        **CONTEXT_COLUMNS,
    }
    histories = [each.history.select(HISTORY_COLUMNS) for each in asked]
    lengths = [history.height for history in histories]
    return Queries(
        pl.DataFrame(requests, schema=schema),
        pl.concat(histories) if len(histories) > 1 else histories[0],
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
    )
