import polars as pl

from recsys_kedro import columns as c
from recsys_kedro.metrics.examples import lists_side_by_side

PRODUCTS = pl.DataFrame({c.PRODUCT_ID: ["a", "b", "x"], c.NAME: ["mug", None, "taken by others"]})


def test_lists_stand_side_by_side_with_hits_ticked():
    rows = [
        ("ease", "u", "a", 1),
        ("ease", "u", "b", 2),
        ("knn", "u", "b", 1),
        ("knn", "u", "a", 3),
        ("knn", "v", "x", 1),
    ]
    lists = pl.DataFrame(rows, schema=[c.MODEL, c.USER_ID, c.PRODUCT_ID, c.RANK], orient="row")
    truth = pl.DataFrame({c.USER_ID: ["u", "v"], c.PRODUCT_ID: ["b", "a"]})
    table = lists_side_by_side(lists, truth, PRODUCTS, "u", k=2)
    assert table.columns == [c.RANK, "ease", "knn"]
    assert table.rows() == [(1, "mug", "✓ b"), (2, "✓ b", None)]
