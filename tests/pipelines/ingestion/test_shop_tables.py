from datetime import UTC, datetime

import polars as pl
import pytest

from recsys_kedro import columns as c
from recsys_kedro import schemas
from recsys_kedro.pipelines.ingestion.options import ShopOptions
from recsys_kedro.pipelines.ingestion.shop_tables import read_shop_table


def read(raw, mapping=None):
    shop = ShopOptions(product_columns=mapping or {})
    return read_shop_table(raw, schemas.PRODUCTS, shop.product_columns, "product_columns", shop)


def test_table_gets_every_column_in_its_type():
    raw = pl.DataFrame(
        {"sku": ["007"], "price": ["2.50"], "created_at": ["2025-01-01"], "features": [{"a": 1}]}
    )

    table = read(raw, {c.PRODUCT_ID: "sku"})

    schemas.PRODUCTS.validate(table)
    row = table.row(0, named=True)
    assert row[c.PRODUCT_ID] == "007"
    assert row[c.PRICE] == 2.5
    assert row[c.FEATURES] == '{"a":1}'
    assert row[c.CREATED_AT] == datetime(2025, 1, 1, tzinfo=UTC)
    assert row[c.BRAND] is None


def test_no_table_is_an_empty_table():
    table = read(pl.DataFrame(schema={c.SOURCE_ROW: pl.Int64}))

    schemas.PRODUCTS.validate(table)
    assert table.is_empty()


def test_what_is_dropped_or_emptied_is_said(caplog):
    raw = pl.DataFrame({c.PRODUCT_ID: ["a", None, "b", "a"], c.PRICE: ["1", "2", "-3", "free"]})

    table = read(raw)

    assert table.select(c.PRODUCT_ID, c.PRICE).rows() == [("a", None), ("b", None)]
    assert [record.getMessage() for record in caplog.records] == [
        "products: 'price' cannot be read and is left empty: 2 rows (first: row 3).",
        "products: no 'product_id', row dropped: 1 rows (first: row 2).",
        "products: 'product_id' comes again later, row dropped: 1 rows (first: row 1).",
    ]


def test_table_without_an_id_is_refused():
    with pytest.raises(ValueError, match="no column 'product_id'"):
        read(pl.DataFrame({"sku": ["a"]}))
