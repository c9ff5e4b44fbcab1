import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from recsys_kedro import columns as c
from recsys_kedro.pipelines.ingestion.duplicates import duplicate_of
from recsys_kedro.streams.options import KAFKA_OFFSET, KAFKA_PARTITION


def test_exact_and_same_id_and_neither():
    raw = pl.DataFrame(
        {
            c.SOURCE_ROW: [1, 2, 3, 4, 5],
            "event_id": ["a", "a", "a", None, None],
            "product": ["p", "p", "q", "r", "s"],
            "context": [{"x": 1}, {"x": 1}, {"x": 1}, None, None],
        }
    )

    kinds = duplicate_of(raw, raw["event_id"]).to_list()

    assert kinds == [None, "exact", "event_id", None, None]


def test_rows_without_ids_that_differ_are_all_kept():
    raw = pl.DataFrame({"product": ["p", "q"]})

    kinds = duplicate_of(raw, pl.Series([None, None], dtype=pl.String))

    assert kinds.to_list() == [None, None]


def test_where_a_broker_had_a_row_does_not_make_it_another_event():
    raw = pl.DataFrame({"product": ["p", "p"], KAFKA_PARTITION: [0, 1], KAFKA_OFFSET: [7, 8]})

    kinds = duplicate_of(raw, pl.Series([None, None], dtype=pl.String))

    assert kinds.to_list() == [None, "exact"]


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from([None, 0.0, 1.0])), max_size=20))
def test_exact_is_every_row_that_an_equal_one_precedes(rows):
    raw = pl.DataFrame(rows, schema={"product": pl.String, "price": pl.Float64}, orient="row")

    kinds = duplicate_of(raw, pl.Series([None] * len(rows), dtype=pl.String))

    assert kinds.to_list() == ["exact" if row in rows[:n] else None for n, row in enumerate(rows)]
