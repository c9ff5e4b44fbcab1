import pytest
from pydantic import ValidationError

from recsys_kedro.simulation.options import SimulationOptions


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"users": 0}, "users"),
        ({"days": 0}, "days"),
        ({"signal": -0.1}, "signal"),
        ({"events_per_user": 0}, "events_per_user"),
        ({"return_share": 1.5}, "return_share"),
        ({"costumers": 5}, "costumers"),
    ],
)
def test_wrong_option_is_named(wrong, named):
    with pytest.raises(ValidationError, match=named):
        SimulationOptions(**wrong)


def test_more_categories_than_products_says_what_to_do():
    with pytest.raises(ValidationError, match=r"categories is 20 and products only 10.*Lower"):
        SimulationOptions(products=10, categories=20)
