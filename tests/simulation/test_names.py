import pytest

from recsys_kedro.simulation.names import (
    SUBCATEGORIES,
    SUBCATEGORIES_PER_CATEGORY,
    brand_names,
    category_names,
    subcategory_names,
)


@pytest.mark.parametrize("count", [1, 24, 25, 500])
@pytest.mark.parametrize("names", [category_names, brand_names])
def test_names_are_different_however_many(names, count):
    assert len(set(names(count))) == count


def test_every_category_has_the_same_number_of_subcategories():
    assert {len(words) for words in SUBCATEGORIES.values()} == {SUBCATEGORIES_PER_CATEGORY}
    assert len(set(subcategory_names(50))) == 50 * SUBCATEGORIES_PER_CATEGORY
