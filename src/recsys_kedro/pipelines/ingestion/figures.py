"""How many events, sessions, products and users there are."""

from collections import Counter
from typing import Any

import polars as pl

from recsys_kedro import columns as c
from recsys_kedro.pipelines.ingestion.parts import SORTED_BY, EventParts, compact
from recsys_kedro.pipelines.ingestion.sessions import with_sessions

READ = (*SORTED_BY, c.SESSION_ID, c.EVENT_TYPE, c.PRODUCT_ID)


def figures_of(events: EventParts, gap_minutes: float) -> dict[str, Any]:
    """The report's figures of the events, in one pass over their parts.

    Args:
        events: at least one event.
        gap_minutes: see :func:`.sessions.with_sessions`.
    """
    types: Counter[str] = Counter()
    users = 0
    spans, products, sessions = [], [], []
    time = pl.col(c.TIMESTAMP)
    for part in events.parts(READ):
        types.update(dict(part[c.EVENT_TYPE].value_counts().iter_rows()))
        users += part[c.USER_ID].n_unique()  # all events of a user are in one part
        spans.append(part.select(first=time.min(), last=time.max()))
        products.append(compact(part[c.PRODUCT_ID].unique()))
        named = part[c.SESSION_ID].null_count() == 0
        visits = part if named else with_sessions(part.sort(SORTED_BY), gap_minutes)
        sessions.append(compact(visits[c.SESSION_ID].unique()))
    span = pl.concat(spans)
    return {
        "events_by_type": dict(sorted(types.items(), key=lambda item: item[::-1], reverse=True)),
        "sessions": pl.concat(sessions).n_unique(),
        "products_with_events": pl.concat(products).n_unique(),
        "users_with_events": users,
        "first_time": str(span["first"].min()),
        "last_time": str(span["last"].max()),
    }
