import numpy as np
import pytest

from recsys_kedro.simulation.choice import (
    OUTSIDE_WEIGHT,
    OWNED_PENALTY,
    choose,
    draw_categories,
    memory_bonus,
    price_fit,
    product_utility,
)
from recsys_kedro.simulation.memory import PurchaseMemory


@pytest.fixture
def world(shop):
    return shop.tastes.world


def test_first_choice_follows_the_logit():
    utility = np.tile(np.log([[3.0, 2.0, 1.0]]), (60_000, 1)).astype(np.float32)
    choices = choose(utility, np.random.default_rng(0))
    first = np.bincount(choices.liking_SN.argmax(axis=1), minlength=3) / 60_000
    np.testing.assert_allclose(first, [3 / 6, 2 / 6, 1 / 6], atol=0.01)


def test_product_is_wanted_when_it_beats_the_outside_option():
    utility = np.full((60_000, 1), np.log(OUTSIDE_WEIGHT), np.float32)
    wanted = choose(utility, np.random.default_rng(0)).wanted_SN
    assert wanted.mean() == pytest.approx(1 / (1 + 1), abs=0.01)


def test_impossible_product_is_never_wanted():
    utility = np.full((1_000, 2), -np.inf, np.float32)
    assert not choose(utility, np.random.default_rng(0)).wanted_SN.any()


def test_categories_are_drawn_by_their_odds():
    odds = np.tile(np.log([[4.0, 1.0]]), (60_000, 1)).astype(np.float32)
    drawn = draw_categories(odds, np.random.default_rng(0))
    assert drawn.mean() == pytest.approx(1 / 5, abs=0.01)


def test_price_fits_best_at_the_level_of_the_user(world):
    users = np.arange(5)
    level = world.shoppers.price_level[users, None]
    at_level, above = (price_fit(users, level + d, world.shoppers, 1.0) for d in (0.0, 2.0))
    np.testing.assert_array_equal(at_level, 0.0)
    sensitivity = world.shoppers.price_sensitivity[users, None]
    np.testing.assert_allclose(above, -sensitivity / 2 * 2**2, rtol=1e-5)


def test_without_signal_all_products_are_worth_the_same(world):
    products = np.tile(np.arange(20), (5, 1))
    utility = product_utility(np.arange(5), products, world.shoppers, world.catalogue, 0.0)
    np.testing.assert_array_equal(utility, 0.0)


def test_consumable_is_wanted_again_when_it_is_used_up_and_durable_is_not(world):
    catalogue, user = world.catalogue, int(world.shoppers.repeat_tendency.argmax())
    consumable = int(np.flatnonzero(np.isfinite(catalogue.cycle_days))[0])
    durable = int(np.flatnonzero(np.isnan(catalogue.cycle_days))[0])
    memory = PurchaseMemory.empty(len(world.shoppers))
    memory.remember(np.array([user, user]), np.array([consumable, durable]), np.zeros(2))
    slot = {int(product): m for m, product in enumerate(memory.product_UM[user])}

    def bonus(day):
        users, days = np.array([user]), np.array([day])
        return memory_bonus(users, days, memory, world.shoppers, catalogue)[0]

    cycle = float(catalogue.cycle_days[consumable])
    assert bonus(0.0)[slot[consumable]] == -OWNED_PENALTY
    assert bonus(cycle)[slot[consumable]] > 0
    assert bonus(cycle)[slot[consumable]] > bonus(4 * cycle)[slot[consumable]]
    assert bonus(cycle)[slot[durable]] == -OWNED_PENALTY
    assert np.isneginf(bonus(cycle)[2:]).all()
