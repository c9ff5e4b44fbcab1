"""A/B tests in the answers: who is in which, what it changes, and what is logged of it."""

from datetime import UTC, datetime, timedelta

import mlflow
import polars as pl
import pytest

from recsys_kedro import columns as c
from recsys_kedro.experiments.assignment import assign
from recsys_kedro.experiments.declarations import Experiments
from recsys_kedro.fitting import training_data
from recsys_kedro.models.item_knn import ItemKNN, ItemKNNOptions
from recsys_kedro.models.popularity import Popularity
from recsys_kedro.options import Options
from recsys_kedro.schemas import IMPRESSIONS, SERVED_INPUTS
from recsys_kedro.serving.cache import LocalCache
from recsys_kedro.serving.impression_files import (
    ParquetImpressions,
    read_impressions,
    read_served_inputs,
)
from recsys_kedro.serving.impressions import ImpressionLog
from recsys_kedro.serving.options import ServingOptions
from recsys_kedro.serving.recommender import RecommenderService
from recsys_kedro.serving.telemetry import Telemetry
from recsys_kedro.serving.variants import aliases_of, registered_folder

USERS = [f"user {number}" for number in range(40)]
START, END = datetime(2025, 3, 3, tzinfo=UTC), datetime(2025, 3, 31, tzinfo=UTC)
DURING = START + timedelta(days=1)
BOUGHT_AT = START - timedelta(days=2)


def experiments(**changes):
    fields = {
        "start": START,
        "end": END,
        "control": "old",
        "variants": {"old": {"model": "simple"}, "new": {}},
        "overrides": {"tester": "old"},
    }
    layers = {"models": {"experiments": {"model": {**fields, **changes}}}}
    ranking = {
        "plain": {"ranking": {"diversity": 0.0}},
        "explored": {"ranking": {"exploration": 0.5}},
    }
    layers["ranking"] = {
        "experiments": {
            "ranks": {**fields, "control": "plain", "variants": ranking, "overrides": {}}
        }
    }
    return Experiments.model_validate({"layers": layers})


@pytest.fixture(scope="module")
def models(shop, shop_events, shop_snapshots, shop_lists, shop_split):
    tables = (shop_events, shop.products, shop.users, shop_snapshots, shop_lists)
    data = training_data(*tables, shop_split, shop_split.as_of)
    return {
        "champion": ItemKNN.fit(data, ItemKNNOptions(), seed=1),
        "simple": Popularity.fit(data, Options(), seed=1),
    }


@pytest.fixture
def service_with(models, shop_snapshot):
    def make(**options):
        others = {"simple": (models["simple"], "3")}
        return RecommenderService(
            models["champion"], shop_snapshot, "7", others, experiments(), **options
        )

    return make


@pytest.fixture
def ask(shop_snapshot):
    bought = shop_snapshot.products[c.PRODUCT_ID][0]
    event = {"product_id": bought, "event_type": "purchase", "timestamp": BOUGHT_AT, "price": 2}

    def answers(service, users, now=DURING, **request):
        requests = [{"user_id": user, "events": [event], **request} for user in users]
        return service.answer(requests, now)

    return answers


def test_the_answer_comes_from_the_variant_that_the_user_is_in(service_with, ask):
    answers = ask(service_with(), USERS)
    arms = {(a.variants["model"], a.model, a.model_version) for a in answers}
    assert arms == {("old", "popularity", "3"), ("new", "item_knn", "7")}
    for user, answer in zip(USERS, answers, strict=True):
        drawn = assign(experiments(), user, DURING).active
        assert answer.variants == {each.experiment: each.variant for each in drawn}
        assert (answer.items[0].source == "popular") == (answer.variants["model"] == "old")


def test_a_batch_is_answered_in_its_order(service_with, ask):
    service = service_with()
    together = ask(service, USERS)
    alone = [ask(service, [user])[0] for user in USERS]
    assert [a.user_id for a in together] == USERS
    assert [a.model for a in together] == [a.model for a in alone]


def test_ranking_options_of_a_variant_count_unless_the_request_has_its_own(service_with, ask):
    propensities = {
        (answer.variants["ranks"], own): min(item.propensity for item in answer.items)
        for own in (None, 0.0)
        for answer in ask(service_with(), USERS, k=2, exploration=own)
    }
    assert propensities["plain", None] == propensities["explored", 0.0] == 1
    assert propensities["explored", None] < 1


@pytest.mark.parametrize("now", [START - timedelta(seconds=1), END])
def test_before_and_after_everybody_gets_the_champion(service_with, ask, now):
    answers = ask(service_with(), USERS, now)
    assert {(a.model, len(a.variants)) for a in answers} == {("item_knn", 0)}


def test_the_time_of_the_request_decides(service_with, ask):
    late = ask(service_with(), USERS, now=END, context={"time": DURING.isoformat()})
    assert all(answer.variants for answer in late)


def test_variants_share_a_cache_and_do_not_mix(service_with, ask):
    service = service_with(cache=LocalCache(100, 60))
    first, again = ask(service, USERS), ask(service, USERS)
    assert all(answer.from_cache for answer in again)
    assert [a.items[0].source for a in first] == [a.items[0].source for a in again]
    assert [a.model for a in first] == [a.model for a in again]


@pytest.fixture
def logged(service_with, ask, tmp_path):
    def answers(users, **options):
        log = ImpressionLog(ParquetImpressions(tmp_path, 1_000, 1e9), 100, Telemetry())
        service = service_with(options=ServingOptions(**options), impressions=log)
        given = ask(service, users, now=END, context={"time": DURING.isoformat()})
        log.close()
        return given

    return answers


def test_the_log_has_the_variants_of_those_who_take_part(logged, tmp_path):
    answers = logged([*USERS[:3], "tester"])
    rows_of_all = IMPRESSIONS.validate(read_impressions(tmp_path))
    for answer in answers:
        rows = rows_of_all.filter(pl.col(c.RECOMMENDATION_ID) == answer.recommendation_id)
        there = {each[c.EXPERIMENT]: each[c.VARIANT] for each in rows[c.VARIANTS][0]}
        forced = {"model"} if answer.user_id == "tester" else set()
        assert there == {k: v for k, v in answer.variants.items() if k not in forced}
    assert answers[-1].variants["model"] == "old"
    assert rows_of_all[c.TIMESTAMP].unique().to_list() == [DURING]


def test_a_sample_of_what_the_model_was_given(logged, shop_snapshot, tmp_path):
    answers = logged(USERS, inputs_share=0.5)
    given = SERVED_INPUTS.validate(read_served_inputs(tmp_path))
    drawn = [a.recommendation_id for a in answers if int(a.recommendation_id[0], 16) < 8]
    assert sorted(given[c.RECOMMENDATION_ID]) == sorted(drawn)
    assert 0 < given.height < len(USERS)
    row = given.row(0, named=True)
    assert row[c.PRODUCT_ID] == [shop_snapshot.products[c.PRODUCT_ID][0]]
    assert (row[c.EVENT_TYPE], row[c.PRICE]) == (["purchase"], [2.0])
    assert (row[c.EVENT_TIME], row[c.SENT]) == ([BOUGHT_AT], 1)
    assert row[c.AS_OF] == DURING
    assert row[c.PROFILE] == "{}"


def test_inputs_are_read_out_of_a_journal_too(service_with, ask, tmp_path):
    log = ImpressionLog(ParquetImpressions(tmp_path, 1_000, 1e9), 100, Telemetry())
    ask(service_with(options=ServingOptions(inputs_share=1), impressions=log), USERS)
    while read_impressions(tmp_path)[c.RECOMMENDATION_ID].n_unique() < len(USERS):
        pass
    from_journal = read_served_inputs(tmp_path)
    assert from_journal.height == len(USERS)
    log.close()
    assert read_served_inputs(tmp_path).equals(from_journal)


def test_a_model_that_is_not_loaded_is_named(models, shop_snapshot):
    with pytest.raises(ValueError, match="name models that are not loaded: simple"):
        RecommenderService(models["champion"], shop_snapshot, "7", experiments=experiments())


def test_aliases_without_the_champion():
    variants = {"old": {"model": "simple"}, "new": {"model": "champion"}, "same": {}}
    assert aliases_of(experiments(variants=variants)) == {"simple"}


def test_an_alias_that_the_registry_lacks_is_named(tmp_path):
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
    with pytest.raises(ValueError, match="recsys_x has no version with the alias 'simple' in sql"):
        registered_folder("recsys_x", "simple")
    mlflow.set_tracking_uri(before)
