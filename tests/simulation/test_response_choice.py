from dataclasses import replace

import numpy as np
import pytest

from recsys_kedro.simulation.choice import (
    CATEGORY_TASTE,
    OUTSIDE_WEIGHT,
    OWNED_PENALTY,
    PRODUCT_TASTE,
)
from recsys_kedro.simulation.memory import EMPTY, PurchaseMemory
from recsys_kedro.simulation.response_choice import (
    ResponseOptions,
    Sessions,
    decide,
    log_demand,
)
from recsys_kedro.simulation.response_noise import Noise
from recsys_kedro.simulation.sessions import DRAWN_PRODUCTS

WEEK, COUNT, POSITIONS = 3, 20_000, 5


@pytest.fixture
def world(shop):
    """Without tastes, seasons or appeal: every product on sale is worth the same."""
    world = shop.tastes.world
    demand = replace(
        world.demand,
        log_season_WK=np.zeros_like(world.demand.log_season_WK),
        log_weight_WP=np.where(np.isfinite(world.demand.log_weight_WP), 0, -np.inf).astype("f4"),
    )
    return replace(world, demand=demand, signal=0.0)


@pytest.fixture
def memory(world):
    return PurchaseMemory.empty(len(world.shoppers))


def sessions_of(product, users=None):
    """Sessions that consider ``product`` alone, drawn again and again."""
    return Sessions(
        session=np.arange(COUNT),
        user=np.arange(COUNT) % 400 if users is None else users,
        start_second=np.full(COUNT, WEEK * 7 * 86_400),
        week=np.full(COUNT, WEEK),
        drawn_SN=np.full((COUNT, DRAWN_PRODUCTS), product, np.int32),
        browsed=np.full(COUNT, 3),
    )


def on_sale(world, count):
    return np.flatnonzero(np.isfinite(world.demand.log_weight_WP[WEEK]))[:count]


def lists_of(*products):
    return np.tile(np.array(products, np.int32), (COUNT, 1))


def test_position_is_read_as_often_as_it_says(world, memory):
    shown = on_sale(world, POSITIONS + 1)
    options = ResponseOptions(decay=1.0, click_weight=1e9)  # whatever is read is clicked
    decisions = decide(
        sessions_of(shown[-1]), lists_of(*shown[:-1]), world, memory, Noise(0), options
    )
    clicked = decisions.clicked_SX[:, :POSITIONS].mean(axis=0)
    np.testing.assert_allclose(clicked, [1, 1 / 2, 1 / 3, 1 / 4, 1 / 5], atol=0.015)


def test_click_and_purchase_follow_the_logit(world, memory):
    shown, other = on_sale(world, 2)
    options = ResponseOptions(list_weight=0.5, click_weight=4.0)
    decisions = decide(sessions_of(other), lists_of(shown), world, memory, Noise(0), options)
    clicked, wanted = decisions.clicked_SX[:, 0].mean(), decisions.wanted_SX[:, 0].mean()
    assert clicked == pytest.approx(0.5 * 4 / (0.5 * 4 + OUTSIDE_WEIGHT), abs=0.01)
    assert wanted == pytest.approx(0.5 / (0.5 + OUTSIDE_WEIGHT), abs=0.01)


def test_what_the_shopper_came_for_weighs_full_in_a_list(world, memory):
    (product,) = on_sale(world, 1)
    decisions = decide(
        sessions_of(product), lists_of(product), world, memory, Noise(0), ResponseOptions()
    )
    assert decisions.wanted_SX[:, 0].mean() == pytest.approx(1 / (1 + OUTSIDE_WEIGHT), abs=0.01)


def test_nothing_is_wanted_twice_in_a_session_and_no_sale_is_lost(world, memory):
    (product,) = on_sale(world, 1)
    come, none = sessions_of(product), np.full((COUNT, 1), EMPTY, np.int32)
    decided = [
        decide(come, shown, world, memory, Noise(0), ResponseOptions())
        for shown in (lists_of(product), none)
    ]
    with_list, without = ((d.wanted_SX & (d.product_SX == product)).sum(axis=1) for d in decided)
    assert with_list.max() == 1
    np.testing.assert_array_equal(with_list, without)


def test_other_browsing_is_the_same_with_any_list(world, memory):
    shown, looked_at, other = on_sale(world, 3)
    come = sessions_of(looked_at)
    one, two = (
        decide(come, lists_of(each), world, memory, Noise(0), ResponseOptions())
        for each in (shown, other)
    )
    for name in ("product_SX", "viewed_SX", "clicked_SX", "wanted_SX", "bought_SX"):
        np.testing.assert_array_equal(getattr(one, name)[:, 1:], getattr(two, name)[:, 1:])


def test_what_was_bought_is_not_wanted_at_once(world, memory):
    other, *_ = on_sale(world, 1)
    durable = next(p for p in on_sale(world, 50)[1:] if np.isnan(world.catalogue.cycle_days[p]))
    memory.remember(np.arange(400), np.full(400, durable), np.zeros(400))
    decisions = decide(
        sessions_of(other), lists_of(durable), world, memory, Noise(0), ResponseOptions()
    )
    weight = np.exp(-OWNED_PENALTY)
    assert decisions.wanted_SX[:, 0].mean() == pytest.approx(
        weight / (weight + OUTSIDE_WEIGHT), abs=0.002
    )


def test_product_that_is_not_sold_yet_and_empty_place_are_never_clicked(world, memory):
    unborn = int(np.flatnonzero(np.isneginf(world.demand.log_weight_WP[WEEK]))[0])
    options = ResponseOptions(decay=0.0, click_weight=1e9)
    (other,) = on_sale(world, 1)
    decisions = decide(
        sessions_of(other), lists_of(unborn, EMPTY), world, memory, Noise(0), options
    )
    assert not decisions.clicked_SX[:, :2].any()


def test_taste_for_a_category_and_demand_count_in_a_list(world):
    """Where products of a category are alike, a click follows the category and the demand."""
    lists = ResponseOptions(list_weight=0.5, click_weight=4.0)
    product, other = on_sale(world, 2)
    category = world.catalogue.category[product]
    user = int((world.shoppers.taste_UD @ world.catalogue.centroid_KD[category]).argmax())
    weight_WP = world.demand.log_weight_WP.copy()
    weight_WP[:, product] = np.log(3.0)
    world = replace(
        world,
        signal=1.0,
        catalogue=replace(world.catalogue, own_PD=np.zeros_like(world.catalogue.own_PD)),
        shoppers=replace(world.shoppers, price_sensitivity=np.zeros(400, np.float32)),
        demand=replace(world.demand, log_weight_WP=weight_WP),
    )
    come, nobody = sessions_of(other, np.full(COUNT, user)), PurchaseMemory.empty(400)
    decisions = decide(come, lists_of(product), world, nobody, Noise(0), lists)
    odds = CATEGORY_TASTE / 6**0.5 * world.catalogue.centroid_KD @ world.shoppers.taste_UD[user]
    interest = 10 * np.exp(odds[category]) / np.exp(odds).sum()
    sold = np.isfinite(weight_WP[WEEK]) & (world.catalogue.category == category)
    demand = 3 / ((sold.sum() - 1 + 3) / sold.sum())
    weight = 4 * 0.5 * interest * demand * np.exp(-(PRODUCT_TASTE**2) / 2)
    expected = weight / (weight + OUTSIDE_WEIGHT)
    assert decisions.clicked_SX[:, 0].mean() == pytest.approx(expected, abs=0.01)
    assert expected > 0.05


def test_demand_is_relative_to_the_category(shop):
    world = shop.tastes.world
    weight_WP = np.exp(log_demand(world).astype(np.float64))
    for week in (0, world.demand.weeks - 1):
        for category in range(10):
            sold = (world.catalogue.category == category) & (weight_WP[week] > 0)
            assert weight_WP[week, sold].mean() == pytest.approx(1, rel=1e-4)


def test_order_of_browsing_says_nothing(shop, memory):
    world = shop.tastes.world
    category = world.catalogue.category[on_sale(world, 150)]
    products = on_sale(world, 150)[category == np.bincount(category).argmax()][:DRAWN_PRODUCTS]
    come = sessions_of(products[0])
    come.drawn_SN[:, : len(products)] = products
    come.drawn_SN[:, len(products) :] = products[-1]
    nothing = np.empty((COUNT, 0), np.int32)
    decisions = decide(come, nothing, world, memory, Noise(0), ResponseOptions())
    viewed, wanted = decisions.viewed_SX, decisions.wanted_SX
    share = wanted.sum(axis=0) / viewed.sum(axis=0)
    assert share.max() - share.min() < 0.05
