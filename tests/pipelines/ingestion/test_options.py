import pytest
from pydantic import ValidationError

from recsys_kedro.pipelines.ingestion.options import ExclusionRule, IngestionOptions, ShopOptions


def test_shop_without_an_entry_is_in_the_contracts_shape():
    assert IngestionOptions(shop="simulated").source == ShopOptions()


def test_shop_with_an_entry_is_read_by_it():
    options = IngestionOptions(shop="mine", shops={"mine": ShopOptions(event_type="purchase")})

    assert options.source.event_type == "purchase"


def test_unknown_column_of_ours_is_refused():
    with pytest.raises(ValidationError, match="unknown columns \\['user'\\]; ours are"):
        ShopOptions(event_columns={"user": "CustomerID"})


def test_alias_to_an_unknown_type_is_refused():
    with pytest.raises(ValidationError, match="lead to \\['look'\\]"):
        IngestionOptions(shop="mine", event_type_aliases={"view": "look"})


@pytest.mark.parametrize("tests", [{}, {"matches": "x", "empty": True}])
def test_exclusion_rule_has_exactly_one_test(tests):
    with pytest.raises(ValidationError, match="rule 'r': set one of"):
        ExclusionRule(name="r", column="x", **tests)


def test_exclusion_below_zero_counts_as_a_test():
    assert ExclusionRule(name="r", column="x", below=0).below == 0
