import pytest

from recsys_kedro.simulation.options import SimulationOptions
from recsys_kedro.simulation.shop import Shop, simulate_shop


@pytest.fixture(scope="session")
def shop_options() -> SimulationOptions:
    """The size of ``shop``: the same as conf/test."""
    return SimulationOptions(
        users=400, products=150, categories=10, brands=20, days=120, events_per_user=62.5
    )


@pytest.fixture(scope="session")
def shop(shop_options) -> Shop:
    """A small simulated shop with known tastes: about 25,000 events in 120 days."""
    return simulate_shop(shop_options, seed=7)
