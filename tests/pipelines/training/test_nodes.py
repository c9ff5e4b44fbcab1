import polars as pl
import pytest

from recsys_kedro import columns as c
from recsys_kedro.features.options import FeatureOptions
from recsys_kedro.models.popularity import PopularityOptions
from recsys_kedro.models.registry import ModelsOptions
from recsys_kedro.pipelines.sampling.nodes import build_evaluation_queries, build_truth
from recsys_kedro.pipelines.training import nodes


@pytest.fixture(scope="module")
def learned_from(shop, shop_events, shop_snapshots, shop_lists, shop_split):
    return [shop_events, shop.products, shop.users, shop_snapshots, shop_lists, shop_split]


@pytest.fixture(scope="module")
def asked(shop, shop_events, shop_split):
    """Truth and queries of the validation, and the queries of the test."""
    truths = build_truth(shop_events, shop_split)
    tables = (shop_events, shop.products, shop.users)
    queries = build_evaluation_queries(*truths, *tables, shop_split, FeatureOptions())
    return truths[0], *queries


@pytest.fixture(scope="module")
def options():
    return ModelsOptions.model_construct(popularity=[PopularityOptions()])


def most_sold(events, cut):
    sold = events.filter(pl.col(c.TIMESTAMP) < cut, pl.col(c.EVENT_TYPE) == c.PURCHASE)
    counts = sold.group_by(c.PRODUCT_ID).len()
    return set(counts.filter(pl.col("len") == pl.col("len").max())[c.PRODUCT_ID])


def best(lists):
    top = lists.filter(pl.col(c.RANK) == 1, pl.col(c.TASK) == c.TASK_ALL)
    return set(top[c.PRODUCT_ID])


def test_settings_are_chosen_before_the_validation_window(
    learned_from, asked, options, shop_events, shop_split
):
    truth, validation, _ = asked
    arguments = (validation, truth, options, 7)
    choice, lists = nodes.chooser_of("popularity")(*learned_from, *arguments)
    assert choice.model == "popularity"
    assert best(lists) <= most_sold(shop_events, shop_split.validation_start)
    past = shop_events.filter(pl.col(c.TIMESTAMP) < shop_split.validation_start)
    blind = nodes.chooser_of("popularity")(past, *learned_from[1:], *arguments)
    assert blind[0] == choice
    assert blind[1].equals(lists)


def test_the_test_lists_know_nothing_of_the_test_window(
    learned_from, asked, options, shop_events, shop_split
):
    truth, validation, test = asked
    choice, _ = nodes.chooser_of("popularity")(*learned_from, validation, truth, options, 7)
    lists = nodes.tester_of("popularity")(choice, *learned_from, test, 7)
    assert best(lists) <= most_sold(shop_events, shop_split.test_start)
    past = shop_events.filter(pl.col(c.TIMESTAMP) < shop_split.test_start)
    assert nodes.tester_of("popularity")(choice, past, *learned_from[1:], test, 7).equals(lists)
    assert set(lists[c.USER_ID]) == set(test.requests[c.USER_ID])
