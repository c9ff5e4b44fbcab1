"""Whether the project's own analysis holds on shoppers, whose behaviour no formula assumes."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from recsys_kedro import columns as c
from recsys_kedro.experiments.declarations import Experiment, Variant
from recsys_kedro.experiments.simulated_trials import Trials
from recsys_kedro.simulation.options import SimulationOptions
from recsys_kedro.simulation.oracle import memory_as_of, oracle_scores
from recsys_kedro.simulation.period import period_start
from recsys_kedro.simulation.response_choice import ResponseOptions
from recsys_kedro.simulation.shop import simulate_shop

USERS, DAYS, POSITIONS, REPLICATIONS = 2_000, 28, 5, 200


@pytest.fixture(scope="module")
def trials():
    """Popular products against those that each user likes best."""
    options = SimulationOptions(
        users=USERS, products=120, categories=8, brands=10, days=2 * DAYS, events_per_user=12
    )
    shop = simulate_shop(options, seed=5)
    since = period_start(options) + timedelta(days=DAYS)
    past = shop.events.filter(pl.col(c.TIMESTAMP) < since)
    scores = oracle_scores(shop.tastes, shop.tastes.world.shoppers.ids, since, past)
    popular = np.argsort(-scores.mean(axis=0))[:POSITIONS].astype(np.int32)
    bought = past.filter(pl.col(c.EVENT_TYPE) == c.PURCHASE)
    paid = bought.group_by(c.USER_ID).agg((pl.col(c.PRICE) * pl.col(c.QUANTITY)).sum())
    users = shop.users.select(c.USER_ID).join(paid, on=c.USER_ID, how="left").sort(c.USER_ID)
    return Trials(
        tastes=shop.tastes,
        memory=memory_as_of(shop.tastes, past, since),
        pre_revenue=users[c.PRICE].fill_null(0).to_numpy(),
        control=np.tile(popular, (USERS, 1)),
        treatment=np.argsort(-scores, axis=1)[:, :POSITIONS].astype(np.int32),
        experiment=Experiment(
            start=since,
            end=since + timedelta(days=DAYS),
            control="popular",
            variants={"popular": Variant(), "best": Variant()},
        ),
        options=ResponseOptions(),
    )


def test_intervals_cover_the_truth_as_often_as_they_say(trials):
    truth, error = trials.truth(range(1_000, 1_030))
    effect = trials.run(range(REPLICATIONS)).difference
    assert truth > 10 * error
    assert error < effect.error.mean() / 4
    covered = np.mean((effect.low <= truth) & (truth <= effect.high))
    assert covered == pytest.approx(0.95, abs=0.03)
    assert effect.value.mean() == pytest.approx(
        truth, abs=4 * effect.error.mean() / REPLICATIONS**0.5
    )


def test_without_any_difference_there_is_none(trials):
    same = replace(trials, treatment=trials.control)
    assert same.truth(range(3)) == (0.0, 0.0)
    effect = same.run(range(20)).difference
    assert abs(effect.value.mean()) < 4 * effect.error.mean() / 20**0.5


def test_trials_repeat_themselves_and_differ_from_each_other(trials):
    one, two = trials.run([1, 2]), trials.run([1, 2])
    np.testing.assert_array_equal(one.difference.value, two.difference.value)
    assert one.difference.value[0] != one.difference.value[1]


def test_each_trial_splits_those_who_come_anew(trials):
    one, two = trials.treated(1), trials.treated(2)
    assert set(np.flatnonzero(one | two)) <= set(trials.coming)
    share = one[trials.coming].mean()
    assert share == pytest.approx(1 / 2, abs=4 * 0.5 / len(trials.coming) ** 0.5)
    both = (one & two)[trials.coming].mean()
    assert both == pytest.approx(1 / 4, abs=4 * 0.5 / len(trials.coming) ** 0.5)


def test_past_revenue_makes_the_intervals_narrower(trials):
    without_past = replace(trials, pre_revenue=np.zeros(USERS))
    with_past, plain = (each.run(range(3)).difference.error for each in (trials, without_past))
    assert (with_past < plain).all()
