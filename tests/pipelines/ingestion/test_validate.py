import json
from datetime import UTC, datetime

import polars as pl
import pytest

from recsys_kedro import columns as c
from recsys_kedro import schemas
from recsys_kedro.pipelines.ingestion.normalise import normalise_events
from recsys_kedro.pipelines.ingestion.options import IngestionOptions
from recsys_kedro.pipelines.ingestion.validate import (
    as_utc,
    check_rejected_share,
    refused_by_code,
    refused_in,
    rejected_rows,
    rejection_reasons,
)

GOOD = {
    c.EVENT_TYPE: "purchase",
    c.USER_ID: "u1",
    c.PRODUCT_ID: "p1",
    c.TIMESTAMP: "2025-10-19T10:30:00Z",
    c.PRICE: "2.50",
    c.QUANTITY: "1",
    c.MALFORMED: None,
}
OPTIONS = IngestionOptions(shop="mine", far_future_hours=24)
RUN_TIME = datetime(2025, 10, 20, tzinfo=UTC)


def reasons(*rows, run_time=RUN_TIME):
    raw = pl.DataFrame([GOOD | row for row in rows], schema=dict.fromkeys(GOOD, pl.String))
    return rejection_reasons(normalise_events(raw, OPTIONS), OPTIONS, run_time).to_list()


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({}, None),
        ({c.MALFORMED: "{"}, "malformed_json: line is not a JSON object"),
        ({c.USER_ID: " "}, "no_user: user_id is empty"),
        ({c.PRODUCT_ID: None}, "no_product: product_id is empty"),
        (
            {c.EVENT_TYPE: "wishlist"},
            "unknown_event_type: event_type 'wishlist' is no known event type",
        ),
        ({c.EVENT_TYPE: None}, "unknown_event_type: event_type is no known event type"),
        ({c.TIMESTAMP: "31/02/2011"}, "not_a_time: timestamp '31/02/2011' is not a time"),
        ({c.TIMESTAMP: None}, "not_a_time: timestamp is not a time"),
        ({c.PRICE: "cheap"}, "price_not_a_number: price 'cheap' is not a number"),
        ({c.PRICE: "-0.01"}, "negative_price: price '-0.01' is below zero"),
        ({c.PRICE: None}, None),
        ({c.QUANTITY: "many"}, "quantity_not_a_number: quantity 'many' is not a number"),
        ({c.QUANTITY: "-1"}, "negative_quantity: quantity '-1' is below zero"),
        ({c.QUANTITY: None}, None),
        ({c.TIMESTAMP: "2025-10-21T00:00:00Z"}, None),  # exactly 24 h after the run
        (
            {c.TIMESTAMP: "2025-10-21T00:00:01Z"},
            "far_future: timestamp '2025-10-21T00:00:01Z' is in the far future: "
            "after 2025-10-21 00:00 UTC",
        ),
    ],
)
def test_every_fault_has_its_reason(fault, reason):
    assert reasons(fault) == [reason]


def test_first_fault_is_the_reason():
    assert reasons({c.USER_ID: None, c.PRICE: "-1"}) == ["no_user: user_id is empty"]


def test_without_a_run_time_no_time_is_too_late():
    assert reasons({c.TIMESTAMP: "2999-01-01"}, run_time=None) == [None]


def test_rejected_rows_keep_position_reason_and_the_row_as_json():
    raw = pl.DataFrame(
        {
            c.SOURCE_ROW: [1, 2, 3],
            "CustomerID": [7, 8, None],
            "when": [datetime(2025, 1, 1)] * 2 + [None],
            "context": [{"price": 1.0}, {"price": -2.0}, None],
            c.MALFORMED: [None, None, '{"a": '],
        }
    )

    rejected = rejected_rows(
        raw, raw[c.SOURCE_ROW], pl.Series([None, "negative_price: …", "malformed_json: …"])
    )

    schemas.REJECTED_EVENTS.validate(rejected)
    assert rejected[c.SOURCE_ROW].to_list() == [2, 3]
    first, second = (json.loads(row) for row in rejected["row"])
    assert first["CustomerID"] == 8
    assert first["when"].startswith("2025-01-01")
    assert first["context"] == {"price": -2.0}
    assert second == {c.MALFORMED: '{"a": '}


def rejected(*codes):
    return pl.DataFrame(
        {
            c.SOURCE_ROW: [301 + number for number in range(len(codes))],
            c.REASON: [f"{code}: timestamp 'x{n}' is bad" for n, code in enumerate(codes)],
        },
        schema={c.SOURCE_ROW: pl.Int64, c.REASON: pl.String},
    )


def test_refused_rows_of_several_blocks_have_the_most_frequent_code_first():
    first, second = rejected("b", "a", "b"), rejected("c", "b", "a")
    later = second.with_columns(pl.col(c.SOURCE_ROW) + 10)
    merged = refused_by_code([*refused_in(later), *refused_in(first)])
    found = [(each.code, each.rows, each.source_row) for each in merged]
    assert found == [("b", 3, 301), ("a", 2, 302), ("c", 1, 311)]
    assert merged[0].finding == (
        "column 'timestamp' has 3 bad values (first: row 301, timestamp 'x0' is bad)"
    )


def test_share_at_the_limit_passes():
    check_rejected_share(refused_in(rejected("not_a_time")), 100, OPTIONS)


def test_share_above_the_limit_names_column_count_and_first_row():
    message = (
        r"column 'timestamp' has 2 bad values \(first: row 301, timestamp 'x0' is bad\)"
        r".*2\.00% of 100 rows, above 1\.00%.*rejected_events.*ingestion\.max_rejected_share"
    )
    with pytest.raises(ValueError, match=message):
        check_rejected_share(refused_in(rejected("not_a_time", "not_a_time")), 100, OPTIONS)


def test_run_time_is_utc_and_iso():
    assert as_utc(None) is None
    assert as_utc("2025-10-20") == RUN_TIME
    assert as_utc("2025-10-20T02:00:00+02:00") == RUN_TIME
    with pytest.raises(ValueError, match="run_time: 'today' is not an ISO 8601 time"):
        as_utc("today")
