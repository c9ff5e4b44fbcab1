import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys_kedro import columns as c
from recsys_kedro.pipelines.ingestion import duplicates
from recsys_kedro.pipelines.ingestion.duplicates import (
    content_hashes,
    event_id_hash,
    repeats,
)
from recsys_kedro.streams.options import KAFKA_OFFSET, KAFKA_PARTITION


def equal(raw):
    """(N, N) whether rows have the same content hashes."""
    pairs = list(zip(*(series.to_list() for series in content_hashes(raw)), strict=True))
    return [[one == other for other in pairs] for one in pairs]


def repeating(ids, hashed=None):
    """The rows that repeat an earlier one's event id."""
    rows = pl.DataFrame(
        {c.SOURCE_ROW: range(len(ids)), c.EVENT_ID: ids}, schema_overrides={c.EVENT_ID: pl.String}
    )
    hashed = event_id_hash() if hashed is None else hashed
    hashes = rows.select(hashed).to_series().to_numpy().copy()
    return repeats(rows.lazy(), hashed, [c.EVENT_ID], hashes).to_list()


def test_where_a_broker_had_a_row_is_not_its_content():
    raw = pl.DataFrame(
        {c.SOURCE_ROW: [1, 2], "p": ["p", "p"], KAFKA_PARTITION: [0, 1], KAFKA_OFFSET: [7, 8]}
    )
    assert equal(raw) == [[True, True], [True, True]]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "", None]),
            st.sampled_from([None, 0.0, 1.0]),
            st.sampled_from([None, {"x": None}, {"x": 1}]),
            st.sampled_from([None, [], [None]]),
        ),
        min_size=1,
        max_size=8,
    )
)
def test_content_is_equal_where_all_columns_are(rows):
    schema = {
        "text": pl.String,
        "price": pl.Float64,
        "context": pl.Struct({"x": pl.Int64}),
        "tags": pl.List(pl.Int64),
    }
    raw = pl.DataFrame(rows, schema=schema, orient="row")
    assert equal(raw) == [[one == other for other in rows] for one in rows]


def test_the_two_hashes_of_content_tell_nothing_of_each_other():
    """Rows that share 16 bits of one share those of the other as often as any two rows do."""
    raw = pl.DataFrame({"id": [f"E{n}" for n in range(400_000)], "n": range(400_000)})
    first, second = (series.to_numpy() & 0xFFFF for series in content_hashes(raw))
    order = np.argsort(first, kind="stable")
    alike = first[order][1:] == first[order][:-1]
    both = (second[order][1:] == second[order][:-1])[alike]
    # 333,000 pairs at 1 / 65,536 each: 5 are expected.
    assert both.sum() < 20


@given(ids=st.lists(st.sampled_from(["x", "y", "z"]), max_size=12), at_once=st.integers(1, 3))
def test_repeats_are_the_rows_that_an_equal_one_precedes(ids, at_once):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(duplicates, "HASHES_AT_ONCE", at_once)
        assert repeating(ids) == [row for row, value in enumerate(ids) if value in ids[:row]]


def test_ids_that_only_share_a_hash_are_not_the_same():
    assert repeating(["x", "y", "x"], pl.col(c.EVENT_ID).hash() * 0) == [2]
