import polars as pl
import pytest

from recsys_kedro import columns as c
from recsys_kedro.pipelines.ingestion.mapping import flatten_context, map_columns

RAW = pl.DataFrame({c.SOURCE_ROW: [1, 2], "CustomerID": [7, 8], "price": [1.0, None]})


def mapped(raw, mapping, ours, required=()):
    return map_columns(raw, mapping, ours, required, option="ingestion.shops.mine.event_columns")


def test_mapped_equal_and_missing_columns():
    table = mapped(RAW, {c.USER_ID: "CustomerID"}, [c.USER_ID, c.PRICE, c.BRAND])

    assert table[c.USER_ID].to_list() == [7, 8]
    assert table[c.PRICE].to_list() == [1.0, None]
    assert table[c.BRAND].to_list() == [None, None]


def test_mapped_column_that_is_not_there_suggests_the_nearest():
    message = r"mine\.event_columns\.user_id: .* 'CustomerId'\. Did you mean 'CustomerID'\?"
    with pytest.raises(ValueError, match=message):
        mapped(RAW, {c.USER_ID: "CustomerId"}, [c.USER_ID])


def test_required_column_that_is_nowhere_lists_what_is_there():
    with pytest.raises(ValueError, match=r"no column 'user_id'.*CustomerID, price"):
        mapped(RAW, {}, [c.USER_ID], required=[c.USER_ID])


def test_frame_without_positions_is_numbered_from_one():
    table = mapped(RAW.drop(c.SOURCE_ROW), {}, [c.PRICE])

    assert table[c.SOURCE_ROW].to_list() == [1, 2]


@pytest.mark.parametrize(
    "context",
    [
        pl.Series("context", [{"category": "toys", "price": 2.5}, None]),
        pl.Series("context", ['{"category": "toys", "price": 2.5}', None]),
    ],
    ids=["nested", "json_text"],
)
def test_context_is_flattened_once_beside_the_top_level(context):
    raw = RAW.with_columns(context, pl.Series("price", [None, 9.0]))

    table = mapped(flatten_context(raw), {}, [c.CATEGORY, c.PRICE, c.SEARCH_QUERY])

    assert table[c.CATEGORY].to_list() == ["toys", None]
    assert table[c.PRICE].cast(pl.Float64).to_list() == [2.5, 9.0]
    assert table[c.SEARCH_QUERY].to_list() == [None, None]


def test_field_of_the_context_can_be_mapped():
    raw = RAW.with_columns(pl.Series("context", [{"amount": 3.0}, {"amount": None}]))

    table = mapped(flatten_context(raw), {c.PRICE: "context.amount"}, [c.PRICE])

    assert table[c.PRICE].to_list() == [3.0, None]


def test_empty_context_is_no_error():
    raw = RAW.with_columns(pl.lit(None).alias("context"))

    assert flatten_context(raw).columns == raw.columns
