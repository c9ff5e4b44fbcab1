"""What came in: events by type, gaps, strangers, refused rows, and how old it all is."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import polars as pl

from recsys_kedro import columns as c
from recsys_kedro.monitoring import columns as m
from recsys_kedro.monitoring.figures import Figure
from recsys_kedro.monitoring.ratios import ratio
from recsys_kedro.schemas import EVENTS

MAY_BE_EMPTY: Final = tuple(name for name, column in EVENTS.columns.items() if column.nullable)
HOUR: Final = timedelta(hours=1)


def event_figures(
    events: pl.DataFrame, known_products: pl.Series, known_users: pl.Series
) -> list[Figure]:
    """Volume, missing values and strangers among a window's events.

    Args:
        events: of the window.
        known_products: ids in the tables of the model's time.
        known_users: likewise.
    """
    kinds: dict[str, int] = dict(events[c.EVENT_TYPE].value_counts().iter_rows())
    strange_product = ~pl.col(c.PRODUCT_ID).is_in(known_products.implode())
    strange_user = ~pl.col(c.USER_ID).is_in(known_users.implode())
    return [
        Figure("events", m.ALL, events.height, events.height),
        *(
            Figure("events", f"{c.EVENT_TYPE}={kind}", kinds.get(kind, 0), events.height)
            for kind in c.EVENT_TYPES
        ),
        *(
            ratio("missing_share", events, pl.col(name).is_null(), part=f"column={name}")
            for name in MAY_BE_EMPTY
        ),
        ratio("unknown_product_share", events, strange_product),
        ratio("unknown_user_share", events, strange_user),
    ]


def rejection_figures(ingestion_report: Mapping[str, Any]) -> list[Figure]:
    """Share of refused rows in the source that was last read, and by reason."""
    rows = ingestion_report["rows_read"] - sum(ingestion_report["excluded"].values())
    reasons: Mapping[str, int] = ingestion_report["rejected"]
    counts = {m.ALL: sum(reasons.values())}
    counts |= {f"{c.REASON}={reason}": count for reason, count in reasons.items()}
    return [
        Figure("rejected_share", part, count / rows if rows else None, rows)
        for part, count in counts.items()
    ]


def age_figures(as_of: datetime, events: pl.DataFrame, model_data: datetime) -> list[Figure]:
    """Hours to ``as_of`` from the newest event before it, and from the model's data."""
    past = events.filter(pl.col(c.TIMESTAMP) < as_of)
    newest = past[c.TIMESTAMP].max()
    age = (as_of - newest) / HOUR if isinstance(newest, datetime) else None
    return [
        Figure("event_age", m.ALL, age, past.height),
        Figure("model_data_age", m.ALL, (as_of - model_data) / HOUR, 1),
    ]
