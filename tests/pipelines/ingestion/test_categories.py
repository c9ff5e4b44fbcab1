import polars as pl

from recsys_kedro import columns as c
from recsys_kedro.pipelines.ingestion.categories import derive_categories
from recsys_kedro.pipelines.ingestion.options import CategoryOptions

OPTIONS = CategoryOptions(
    minimum_products=2, modifiers=frozenset({"red", "christmas", "set"}), breaks=frozenset({"with"})
)


def categories(*names, options=OPTIONS):
    ids = [str(number) for number in range(len(names))]
    products = pl.DataFrame(
        {c.PRODUCT_ID: ids, c.NAME: names}, schema_overrides={c.NAME: pl.String}
    )
    return derive_categories(products, options).drop(c.PRODUCT_ID).rows()


def test_category_is_the_word_that_most_names_end_with():
    found = categories("JUMBO BAG", "PAPER BAG", "BAG WOODLAND", "SWEETIES")
    assert [category for category, _ in found] == ["bag", "bag", "bag", "other"]


def test_subcategory_needs_as_many_products():
    found = categories("LUNCH BAG", "LUNCH BAG RED", "PAPER BAG")
    assert found == [("bag", "lunch bag"), ("bag", "lunch bag"), ("bag", None)]


def test_plurals_modifiers_and_breaks():
    found = categories("SET OF 3 CAKE TINS RED", "CAKE TIN CHRISTMAS", "TIN WITH CANDLES")
    assert [category for category, _ in found] == ["tin", "tin", "tin"]


def test_names_without_words_are_other_and_missing_names_have_no_category():
    assert categories("17 x 3", "RED", None) == [("other", None), ("other", None)]


def test_order_of_products_does_not_matter():
    names = ["LUNCH BAG", "PAPER BAG", "CANDLE BOX", "TRINKET BOX", "BOX BAG"]
    forward = dict(zip(names, categories(*names), strict=True))
    backward = dict(zip(names[::-1], categories(*names[::-1]), strict=True))
    assert forward == backward
