import pytest
from kedro.io import DatasetError
from polars.testing import assert_frame_equal

from recsys_kedro import columns as c
from recsys_kedro.datasets import simulated
from recsys_kedro.datasets.simulated import SimulatedTable
from recsys_kedro.simulation.oracle import Tastes

SMALL = {"users": 30, "products": 20, "categories": 4, "days": 30, "events_per_user": 20}


@pytest.fixture(autouse=True)
def _nothing_kept():
    simulated._simulate_once.cache_clear()


def test_tables_of_one_shop_cost_one_simulation(monkeypatch):
    calls = []

    def simulate(options, seed):
        calls.append(seed)
        return real(options, seed)

    real = simulated.simulate_shop
    monkeypatch.setattr(simulated, "simulate_shop", simulate)
    tables = {
        name: SimulatedTable(table=name, seed=1, options=SMALL).load()
        for name in ("events", "products", "users", "tastes")
    }
    assert calls == [1]
    assert isinstance(tables["tastes"], Tastes)
    assert tables["products"].height == SMALL["products"]


def test_rows_are_numbered_from_one():
    events = SimulatedTable(table="events", seed=1, options=SMALL).load()
    assert events[c.SOURCE_ROW].to_list() == list(range(1, events.height + 1))


def test_other_seed_is_another_shop_and_the_same_seed_is_not():
    first, second, again = (
        SimulatedTable(table="products", seed=seed, options=SMALL).load() for seed in (1, 2, 1)
    )
    assert not first.equals(second)
    assert_frame_equal(first, again)


def test_saving_is_refused_with_a_reason():
    with pytest.raises(DatasetError, match="'events' cannot be saved: it is made from options"):
        SimulatedTable(table="events", seed=1).save("anything")


def test_unknown_table_names_those_there_are():
    with pytest.raises(DatasetError, match=r"'orders'.*events, products, users, tastes"):
        SimulatedTable(table="orders", seed=1)


def test_wrong_option_is_named():
    with pytest.raises(DatasetError, match="days"):
        SimulatedTable(table="events", seed=1, options={"days": -1})
