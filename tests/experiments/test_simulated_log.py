import numpy as np
import polars as pl
import pytest

from recsys_kedro import columns as c
from recsys_kedro.experiments.analysis import AnalysisOptions, analyse
from recsys_kedro.experiments.log import Log
from recsys_kedro.experiments.simulated_log import (
    CONTROL,
    EXPERIMENT,
    TREATMENT,
    UNKNOWN_USER,
    LogOptions,
    simulate_log,
)
from recsys_kedro.experiments.verdict import Action, ExperimentPlan
from recsys_kedro.features.schemas import PRODUCT_FEATURES, USER_FEATURES
from recsys_kedro.schemas import EVENTS, IMPRESSIONS, PRODUCTS, SERVED_INPUTS
from recsys_kedro.simulation.options import SimulationOptions

OPTIONS = LogOptions(
    shop=SimulationOptions(
        users=600, products=60, categories=6, brands=12, days=56, events_per_user=40
    ),
    served_days=14,
    places=4,
    inputs_share=0.5,
)


@pytest.fixture(scope="module")
def log():
    return simulate_log(OPTIONS, seed=3)


def test_tables_keep_the_data_dictionary(log):
    for schema, table in (
        (IMPRESSIONS, log.impressions),
        (SERVED_INPUTS, log.served_inputs),
        (EVENTS, log.events),
        (PRODUCTS, log.products),
        (USER_FEATURES, log.user_features),
        (PRODUCT_FEATURES, log.product_features),
    ):
        schema.validate(table)


def test_the_same_seed_gives_the_same_log(log):
    again = simulate_log(OPTIONS, seed=3)
    assert again.impressions.equals(log.impressions)
    assert again.events.equals(log.events)
    assert again.served_inputs.drop(c.PROFILE).equals(log.served_inputs.drop(c.PROFILE))


def test_there_is_an_effect_and_the_analysis_finds_it(log):
    end = log.experiments.named[EXPERIMENT].end
    tables = Log(log.impressions.lazy(), log.events.lazy(), log.products.lazy())
    plan = ExperimentPlan(primary="ctr", planned_units=400, looks="once")
    result = analyse(tables, log.experiments, EXPERIMENT, plan, AnalysisOptions(), end)
    assert result.verdicts[TREATMENT].action is Action.SHIP
    assert result.control == CONTROL
    assert result.crossovers == 0


def test_propensities_are_those_of_the_explored_share(log):
    """Of many slots the explored share is drawn, a little less than that is not the best."""
    best = (log.impressions[c.PROPENSITY] > 0.5).mean()
    pool = OPTIONS.places + 20
    expected = 1 - OPTIONS.exploration * (1 - 1 / pool)
    assert best == pytest.approx(expected, abs=4 * np.sqrt(0.1 * 0.9 / log.impressions.height))


def test_inputs_are_the_events_before_the_answer(log):
    given = log.served_inputs.explode(c.PRODUCT_ID, c.EVENT_TYPE, c.EVENT_TIME, c.PRICE)
    given = given.drop_nulls(c.PRODUCT_ID)
    assert (given[c.EVENT_TIME] < given[c.AS_OF]).all()
    past = log.served_inputs.join(log.events.select(c.USER_ID, c.TIMESTAMP), on=c.USER_ID)
    assert past.filter(pl.col(c.TIMESTAMP) < pl.col(c.AS_OF)).height == given.height
    lengths = log.impressions.select(c.RECOMMENDATION_ID, c.HISTORY_LENGTH).unique()
    both = log.served_inputs.join(lengths, on=c.RECOMMENDATION_ID)
    assert (both[c.PRODUCT_ID].list.len() == both[c.HISTORY_LENGTH]).all()
    sent = given.filter(pl.col(c.EVENT_TIME) >= log.since).height
    assert log.served_inputs[c.SENT].sum() == sent


def test_who_has_no_history_gets_what_is_popular(log):
    before = log.events.filter(pl.col(c.TIMESTAMP) < log.since).select(c.USER_ID).unique()
    unknown = log.impressions.join(before, on=c.USER_ID, how="anti")
    assert unknown.height > 0
    assert unknown[c.FALLBACK].unique().to_list() == [UNKNOWN_USER]
    known = log.impressions.join(before, on=c.USER_ID, how="semi")
    assert known[c.FALLBACK].is_null().all()
