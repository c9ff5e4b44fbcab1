from datetime import UTC, datetime, timedelta

import polars as pl

from recsys_kedro import columns as c
from recsys_kedro.pipelines.ingestion.figures import figures_of
from recsys_kedro.pipelines.ingestion.parts import EventParts

START = datetime(2025, 1, 1, tzinfo=UTC)
EVENTS = pl.DataFrame(
    {
        c.USER_ID: ["a", "b", "b", "c"],
        c.TIMESTAMP: [START + timedelta(hours=hour) for hour in (3, 2, 0, 1)],
        c.SOURCE_ROW: [1, 2, 3, 4],
        c.SESSION_ID: ["b-1", None, None, "b-1"],
        c.EVENT_TYPE: [c.PURCHASE, c.CLICK, c.PURCHASE, c.CLICK],
        c.PRODUCT_ID: ["p", "p", "q", "p"],
    }
)


def test_figures_are_those_of_all_parts_together():
    """Session b-1 is in all three parts: named twice, and the first of two that are not."""
    figures = figures_of(EventParts(EVENTS.lazy(), ("b", "c")), gap_minutes=30)
    assert figures == {
        "events_by_type": {c.PURCHASE: 2, c.CLICK: 2},
        "sessions": 2,  # b-1 and b-2
        "products_with_events": 2,
        "users_with_events": 3,
        "first_time": "2025-01-01 00:00:00+00:00",
        "last_time": "2025-01-01 03:00:00+00:00",
    }
    assert list(figures["events_by_type"]) == [c.PURCHASE, c.CLICK]
