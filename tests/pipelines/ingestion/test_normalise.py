import polars as pl
import pytest

from recsys_kedro import columns as c
from recsys_kedro.pipelines.ingestion.normalise import known_event_types, normalise_events
from recsys_kedro.pipelines.ingestion.options import IngestionOptions, ReturnRule, ShopOptions


def raw(**columns):
    base = {
        c.SOURCE_ROW: [1],
        c.EVENT_TYPE: ["purchase"],
        c.USER_ID: ["u1"],
        c.PRODUCT_ID: ["p1"],
        c.TIMESTAMP: ["2025-10-19T10:30:00Z"],
    }
    return pl.DataFrame(base | columns)


def options(aliases=None, **shop):
    return IngestionOptions(
        shop="mine", shops={"mine": ShopOptions(**shop)}, event_type_aliases=aliases or {}
    )


def test_event_types_are_one_vocabulary():
    aliases = {"view": c.PRODUCT_VIEW, "add to basket": c.ADD_TO_CART}
    source = pl.Series(["view", "View ", "product_view", "Add-To-Basket", "wishlist", None])

    assert known_event_types(source, aliases).to_list() == [
        c.PRODUCT_VIEW,
        c.PRODUCT_VIEW,
        c.PRODUCT_VIEW,
        c.ADD_TO_CART,
        None,
        None,
    ]


def test_constant_event_type_where_the_source_has_none():
    events = normalise_events(raw().drop(c.EVENT_TYPE), options(event_type="purchase"))

    assert events[c.EVENT_TYPE].to_list() == [c.PURCHASE]


def test_constant_event_type_beside_a_column_is_refused():
    with pytest.raises(ValueError, match=r"mine\.event_type: the source has a column"):
        normalise_events(raw(), options(event_type="purchase"))


def test_source_without_event_type_is_refused():
    with pytest.raises(ValueError, match="no column 'event_type'"):
        normalise_events(raw().drop(c.EVENT_TYPE), options())


def test_missing_quantity_is_one_piece_and_an_unreadable_one_is_kept_as_read():
    source = pl.concat([raw(quantity=["2"]), raw(quantity=[""]), raw(quantity=["many"])])

    events = normalise_events(source, options())

    assert events[c.QUANTITY].to_list() == [2.0, 1.0, None]
    assert events["quantity_as_read"].to_list() == ["2", None, "many"]


def test_returns_by_rule_have_a_positive_quantity():
    source = pl.concat([raw(invoice=["C5"], quantity=[-2]), raw(invoice=["5"], quantity=[3])])
    rule = ReturnRule(column="invoice", matches="^C")

    events = normalise_events(source, options(returns=rule))

    assert events[c.EVENT_TYPE].to_list() == [c.RETURN, c.PURCHASE]
    assert events[c.QUANTITY].to_list() == [2.0, 3.0]


def test_ids_of_any_type_become_text():
    events = normalise_events(raw(user_id=[17850.0], product_id=[5]), options())

    assert events.select(c.USER_ID, c.PRODUCT_ID).row(0) == ("17850", "5")


def test_input_is_not_changed():
    source = raw(context=[{"price": 2.5}])
    before = source.clone()

    normalise_events(source, options())

    assert source.equals(before)
