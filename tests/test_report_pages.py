import pytest

from recsys_kedro.report_pages import is_made_up


@pytest.mark.parametrize(
    ("name", "made_up"), [("simulated_large", True), ("test", True), ("online_retail", False)]
)
def test_a_shop_is_made_up_by_its_name(name, made_up):
    assert is_made_up(name) == made_up
