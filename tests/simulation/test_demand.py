from datetime import date

import numpy as np
import pytest

from recsys_kedro.simulation.demand import draw_products, make_demand, make_visits
from recsys_kedro.simulation.options import SimulationOptions
from recsys_kedro.simulation.period import SECONDS_PER_DAY


def test_products_are_drawn_by_weight_within_the_category():
    log_weight = np.log(np.array([1.0, 3.0, 5.0, 5.0]))
    category = np.array([0, 1]).repeat(20_000)
    drawn = draw_products(log_weight, np.array([0, 2, 4]), category, 2, np.random.default_rng(0))
    first, second = drawn[:20_000], drawn[20_000:]
    assert set(np.unique(first)) == {0, 1}
    assert set(np.unique(second)) == {2, 3}
    assert (first == 1).mean() == pytest.approx(3 / (1 + 3), abs=0.01)


def test_product_without_weight_is_never_drawn():
    log_weight = np.array([-np.inf, 0.0, -np.inf])
    drawn = draw_products(
        log_weight, np.array([0, 3]), np.zeros(10_000, int), 3, np.random.default_rng(0)
    )
    assert (drawn == 1).all()


def test_season_returns_after_a_year(shop):
    options = SimulationOptions(products=150, categories=10, days=2 * 365)
    season = make_demand(
        shop.tastes.world.catalogue, options, np.random.default_rng(0)
    ).log_season_WK
    weeks = 52
    np.testing.assert_allclose(season[weeks : 2 * weeks], season[:weeks], atol=0.15)
    assert np.ptp(season, axis=0).max() > 0.8


def test_gifts_are_wanted_before_christmas_and_nothing_else_changes(shop):
    catalogue = shop.tastes.world.catalogue
    usual, christmas = (
        make_demand(
            catalogue,
            SimulationOptions(products=150, categories=10, days=365, christmas=strength),
            np.random.default_rng(0),
        )
        for strength in (0.0, 1.0)
    )
    december, june = 345 // 7, 160 // 7
    for name, lift in (("log_season_WK", 1.0), ("log_weight_WP", 2.0)):
        there = np.isfinite(getattr(usual, name)).all(axis=0)
        growth = getattr(christmas, name)[:, there] - getattr(usual, name)[:, there]
        gifts = growth[december] > 0
        assert 0 < gifts.mean() < 0.6
        np.testing.assert_allclose(growth[december, gifts], lift, rtol=0.2)
        np.testing.assert_allclose(growth[:, ~gifts], 0, atol=1e-5)
        np.testing.assert_allclose(growth[june], 0, atol=1e-5)


def test_product_has_no_weight_before_it_is_created(shop):
    world = shop.tastes.world
    week = np.arange(world.demand.weeks)[:, None]
    early = week * 7 * SECONDS_PER_DAY < world.catalogue.created_second
    assert early.any()
    np.testing.assert_array_equal(np.isneginf(world.demand.log_weight_WP), early)


def test_visits_are_in_order_after_joining_and_more_in_the_evening(shop):
    shoppers = shop.tastes.world.shoppers
    options = SimulationOptions(users=400, days=120, start=date(2024, 1, 1))
    visits = make_visits(shoppers, 20.0, options, np.random.default_rng(0))
    assert len(visits.user) == pytest.approx(20 * 400, rel=0.05)
    assert (np.diff(visits.start_second) >= 0).all()
    assert (visits.start_second >= shoppers.created_second[visits.user]).all()
    assert visits.start_second.max() < 120 * SECONDS_PER_DAY
    hour = visits.start_second % SECONDS_PER_DAY // 3_600
    assert (hour == 20).sum() > 3 * (hour == 4).sum()
