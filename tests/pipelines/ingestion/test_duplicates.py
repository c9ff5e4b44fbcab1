import polars as pl

from recsys_kedro import columns as c
from recsys_kedro.pipelines.ingestion.duplicates import duplicate_of


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
