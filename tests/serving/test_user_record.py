import json
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from pydantic import ValidationError

from recsys_kedro.serving.snapshot import NO_HISTORY
from recsys_kedro.serving.user_record import (
    StoredEvent,
    columns_of,
    encoded_record,
    events_key,
    history_frame,
    micros,
    record_type,
    user_key,
)

AS_OF = datetime(2024, 6, 1, tzinfo=UTC)
SCHEMA = pl.Schema({"views": pl.Int64, "rate": pl.Float64, "segment": pl.String, "new": pl.Boolean})
PROFILE = {"views": 3, "rate": 0.1 + 0.2, "segment": None, "new": True}
HISTORY = {
    "product_id": ["cup", "pot\x00☕"],
    "event_type": ["click", "purchase"],
    "timestamp": [1, 2],
    "session_id": ["s", None],
    "price": [None, 0.1 + 0.2],
    "quantity": [1.0, 2.0],
}


def read(raw):
    return record_type(SCHEMA).model_validate_json(raw)


def test_record_comes_back():
    record = read(encoded_record(AS_OF, HISTORY, PROFILE))
    assert vars(record.history) == HISTORY
    assert record.profile.model_dump() == PROFILE
    assert record.as_of == micros(AS_OF)
    assert read(encoded_record(AS_OF, HISTORY, None)).profile is None


def test_feature_that_the_record_does_not_have_is_empty_and_one_too_many_is_left_out():
    record = read(encoded_record(AS_OF, HISTORY, {"views": 3, "since removed": "x"}))
    assert record.profile.model_dump() == {"views": 3, "rate": None, "segment": None, "new": None}


def test_profile_that_json_cannot_hold_is_refused_with_the_feature():
    with pytest.raises(TypeError, match="feature 'seen' is Datetime"):
        record_type(pl.Schema({"seen": pl.Datetime("us")}))


def broken(**changes):
    record = {"as_of": micros(AS_OF), "history": HISTORY, "profile": PROFILE}
    return json.dumps(record | changes)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x80\x04\x95 a pickle",
        b"{}",
        b"[]",
        b"null",
        broken()[:-1],
        broken(as_of="2024-06-01"),
        broken(as_of=2),  # not after the last event
        broken(profile=[]),
        broken(profile=PROFILE | {"views": "3"}),
        broken(profile=PROFILE | {"views": 2**63}),
        broken(profile=PROFILE | {"rate": float("nan")}),
        broken(profile=PROFILE | {"segment": 3}),
        broken(history=HISTORY | {"product_id": ["cup"]}),
        broken(history=HISTORY | {"product_id": ["cup", None]}),
        broken(history=HISTORY | {"product_id": ["cup", "\ud800"]}),
        broken(history=HISTORY | {"product_id": "ab"}),
        broken(history=HISTORY | {"event_type": ["click", "steal"]}),
        broken(history=HISTORY | {"timestamp": [2, 1]}),
        broken(history=HISTORY | {"timestamp": [-1, 1]}),
        broken(history=HISTORY | {"timestamp": [1.5, 2]}),
        broken(history=HISTORY | {"price": [None, -0.1]}),
        broken(history=HISTORY | {"quantity": [1.0, float("inf")]}),
        broken(history={name: HISTORY[name] for name in list(HISTORY)[:-1]}),
    ],
)
def test_garbage_is_no_record(raw):
    assert read(broken())
    with pytest.raises(ValidationError):
        read(raw)


def test_times_are_exact():
    odd = timedelta(days=15_000, microseconds=123_457)
    assert micros(datetime(1970, 1, 1, tzinfo=UTC) + odd) == odd // timedelta(microseconds=1)


def test_frames_have_the_columns_and_types_of_a_history():
    table = history_frame(HISTORY)
    assert table.schema == NO_HISTORY.schema
    assert table["timestamp"].to_list() == [
        datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=number) for number in (1, 2)
    ]
    event = StoredEvent(product_id="cup", event_type="click", timestamp=7, price=2.0)
    both = history_frame(HISTORY, columns_of([event]))
    assert both[:2].equals(table)
    assert both[2:].to_dicts() == [
        {
            "product_id": "cup",
            "event_type": "click",
            "timestamp": datetime(1970, 1, 1, microsecond=7, tzinfo=UTC),
            "session_id": None,
            "price": 2.0,
            "quantity": 1.0,
        }
    ]
    assert history_frame().equals(NO_HISTORY)


def test_keys_hold_any_id(strange):
    assert user_key("corner", strange).endswith(strange.encode())
    assert events_key("corner", "a") != user_key("corner", "a")
