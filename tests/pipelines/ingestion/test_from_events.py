from datetime import UTC, datetime

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from recsys_kedro import columns as c
from recsys_kedro.pipelines.ingestion.from_events import fill_up, products_in, users_in

DAYS = [datetime(2025, 1, day, tzinfo=UTC) for day in (3, 1, 2, 5)]
EVENTS = pl.DataFrame(
    {
        c.USER_ID: ["u1", "u1", "u2", "u1"],
        c.PRODUCT_ID: ["p", "p", "p", "p"],
        c.EVENT_TYPE: [c.PURCHASE, c.PURCHASE, c.PURCHASE, c.RETURN],
        c.TIMESTAMP: DAYS,
        c.NAME: ["Mug", "MUG?", "Mug", None],
        c.CATEGORY: ["tea", "cups", None, None],
        c.SUBCATEGORY: [None, None, None, None],
        c.BRAND: [None, None, None, None],
        c.PRICE: [1.0, 4.0, 2.0, 100.0],
    },
    schema_overrides={c.SUBCATEGORY: pl.String, c.BRAND: pl.String},
)


def test_product_told_by_its_events():
    assert products_in(EVENTS.lazy()).to_dicts() == [
        {
            c.PRODUCT_ID: "p",
            c.PRICE: 2.0,  # of 1, 2, 4; the return does not count
            c.CREATED_AT: DAYS[1],
            c.NAME: "Mug",
            c.CATEGORY: "cups",  # as frequent as tea, and first by name
            c.SUBCATEGORY: None,
            c.BRAND: None,
        }
    ]


@given(st.lists(st.sampled_from([None, 0.1, 0.2, 0.3, 1e9]), min_size=1, max_size=9))
def test_price_is_the_median_to_the_last_bit(prices):
    events = pl.concat([EVENTS[:1]] * len(prices)).with_columns(
        pl.Series(c.PRICE, prices, pl.Float64)
    )
    assert products_in(events.lazy())[c.PRICE].to_list() == [events[c.PRICE].median()]


def test_user_since_the_first_event():
    assert users_in(EVENTS.lazy()).rows() == [("u1", DAYS[1]), ("u2", DAYS[2])]


def test_the_shops_own_table_comes_first():
    table = pl.DataFrame({"id": ["b", "a"], "price": [None, 1.0], "own": ["x", "y"]})
    told = pl.DataFrame({"id": ["a", "b", "c"], "price": [7.0, 8.0, 9.0]})

    assert fill_up(table, told, "id").rows() == [("a", 1.0, "y"), ("b", 8.0, "x"), ("c", 9.0, None)]
