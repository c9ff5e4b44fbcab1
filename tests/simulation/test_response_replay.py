from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from recsys_kedro import columns as c
from recsys_kedro.simulation.memory import EMPTY
from recsys_kedro.simulation.oracle import memory_as_of, oracle_scores
from recsys_kedro.simulation.period import period_start
from recsys_kedro.simulation.response import Audience, sessions_between
from recsys_kedro.simulation.response_choice import ResponseOptions
from recsys_kedro.simulation.response_noise import Noise
from recsys_kedro.simulation.response_replay import replay

SEED, POSITIONS, OPTIONS = 3, 6, ResponseOptions()
MONTH = timedelta(days=28)


@pytest.fixture(scope="module")
def since(shop_options):
    return period_start(shop_options) + timedelta(days=shop_options.days) - MONTH


@pytest.fixture(scope="module")
def memory(shop, since):
    return memory_as_of(shop.tastes, shop.events, since)


@pytest.fixture(scope="module")
def replay_with(shop, since, memory):
    def replayed(lists, seed=SEED):
        sessions = sessions_between(shop.tastes, since, since + MONTH, seed)
        return replay(shop.tastes, memory, sessions, lists, OPTIONS, Noise(seed))

    return replayed


@pytest.fixture(scope="module")
def lists(shop):
    rng = np.random.default_rng(0)
    drawn = [rng.permutation(150)[:POSITIONS] for _ in range(400)]
    return np.array(drawn, np.int32)


def test_replay_and_audience_live_the_same_lives(shop, since, lists, replay_with):
    audience = Audience(shop.tastes, shop.events, since, since + MONTH, OPTIONS, SEED)
    users, ids = shop.tastes.world.shoppers.ids, shop.tastes.product_ids
    table = pl.DataFrame(
        {
            c.USER_ID: users.gather(np.repeat(np.arange(400), POSITIONS)),
            c.POSITION: np.tile(np.arange(1, POSITIONS + 1), 400),
            c.PRODUCT_ID: ids.gather(lists.ravel()),
        }
    )
    parts = []
    number = pl.int_range(pl.len()).over(c.USER_ID).alias("number")
    for visits in audience.visits.with_columns(number).partition_by("number"):
        shown = visits.join(table, on=c.USER_ID)
        shown = shown.with_columns(pl.col(c.SESSION_ID).alias(c.RECOMMENDATION_ID))
        parts.append(audience.respond(visits, shown))
    events = pl.concat(parts)
    bought = events.filter(pl.col(c.EVENT_TYPE) == c.PURCHASE)
    paid = bought.group_by(c.USER_ID).agg((pl.col(c.PRICE) * pl.col(c.QUANTITY)).sum())
    revenue = dict(paid.iter_rows())
    lived = replay_with(lists)
    expected = [revenue.get(user, 0.0) for user in users]
    late = events[c.TIMESTAMP].max() - timedelta(hours=2)  # the shop closes before they pay
    unfinished = audience.visits.filter(pl.col(c.TIMESTAMP) > late)[c.USER_ID]
    compared = ~users.is_in(unfinished.implode()).to_numpy()
    assert compared.mean() > 0.9
    np.testing.assert_allclose(lived.revenue[compared], np.array(expected)[compared])
    assert lived.sessions.sum() == audience.visits.height
    assert (lived.impressions == POSITIONS * lived.sessions).all()


def test_replay_changes_nothing_and_repeats_itself(lists, memory, replay_with):
    before = memory.copy()
    one, two = replay_with(lists), replay_with(lists)
    np.testing.assert_array_equal(memory.product_UM, before.product_UM)
    np.testing.assert_array_equal(one.revenue, two.revenue)
    assert (replay_with(lists, seed=4).revenue != one.revenue).any()


def test_common_noise_makes_the_difference_of_policies_sharper(lists, replay_with):
    """The variance of the difference is far below that of two lives of their own."""
    none = np.full_like(lists, EMPTY)
    shown, without, other_life = replay_with(lists), replay_with(none), replay_with(none, seed=4)
    common = (shown.revenue - without.revenue).var()
    own = (shown.revenue - other_life.revenue).var()
    assert common < own / 3
    assert without.impressions.sum() == without.clicks.sum() == 0


def test_good_lists_earn_more_than_bad_ones(shop, since, replay_with):
    users = shop.tastes.world.shoppers.ids
    ranked = np.argsort(-oracle_scores(shop.tastes, users, since, shop.events), axis=1)
    sold = np.isfinite(oracle_scores(shop.tastes, users.head(1), since)[0]).sum()
    best, worst = ranked[:, :POSITIONS], ranked[:, sold - POSITIONS : sold]
    good, bad = (replay_with(lists.astype(np.int32)) for lists in (best, worst))
    assert good.clicks.sum() > 3 * bad.clicks.sum()
    assert good.revenue.sum() > 1.05 * bad.revenue.sum()
