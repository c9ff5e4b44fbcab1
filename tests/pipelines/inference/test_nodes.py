from datetime import timedelta

import narwhals as nw
import polars as pl
import pytest
from pydantic import ValidationError

from recsys_kedro import columns as c
from recsys_kedro.features.options import FeatureOptions
from recsys_kedro.features.product import product_features
from recsys_kedro.features.user import user_features
from recsys_kedro.models.base import TrainingData
from recsys_kedro.models.item_knn import ItemKNN, ItemKNNOptions
from recsys_kedro.pipelines.inference.nodes import events_by_users, recommend_to_all
from recsys_kedro.pipelines.inference.options import InferenceOptions
from recsys_kedro.schemas import RECOMMENDATIONS
from recsys_kedro.serving.recommender import RecommenderService
from recsys_kedro.serving.snapshot import ServingSnapshot

K = 7


@pytest.fixture(scope="module")
def users(shop):
    """The shop's users, and one who never did anything."""
    return pl.concat([shop.users, shop.users[:1].with_columns(pl.lit("quiet").alias(c.USER_ID))])


@pytest.fixture(scope="module")
def tables(shop, shop_events, users, shop_split):
    lazy = [nw.from_native(table.lazy()) for table in (shop_events, shop.products, users)]
    as_of, options = shop_split.as_of, FeatureOptions()
    return [
        shop_events,
        shop.products,
        users,
        product_features(lazy[0], lazy[1], as_of, options).collect().to_native(),
        user_features(*lazy, as_of, options).collect().to_native(),
        shop_split,
    ]


@pytest.fixture(scope="module")
def model(shop, shop_events, users, shop_split):
    kinds = shop_split.target_event_types
    data = TrainingData(shop_events, shop.products, users, shop_split.as_of, kinds)
    return ItemKNN.fit(data, ItemKNNOptions(), seed=1)


@pytest.fixture(scope="module")
def recommend(model, tables):
    def run(events=None, **options):
        changed = tables if events is None else [events, *tables[1:]]
        options = InferenceOptions(**{"k": K} | options)
        return recommend_to_all(model, *changed, options, FeatureOptions())

    return run


@pytest.fixture(scope="module")
def lists(recommend):
    return recommend()


def test_everybody_gets_a_whole_list(lists, users):
    RECOMMENDATIONS.validate(lists)
    ranks = lists.group_by(c.USER_ID).agg(pl.col(c.RANK), pl.col(c.PRODUCT_ID).n_unique())
    assert set(ranks[c.USER_ID]) == set(users[c.USER_ID])
    assert ranks[c.RANK].to_list() == [list(range(1, K + 1))] * users.height
    assert ranks[c.PRODUCT_ID].unique().to_list() == [K]
    assert lists[c.REASON].str.len_chars().min() > 0


def test_quiet_users_get_popular_products_and_others_do_not(lists, users, shop_events):
    popular = lists.filter(pl.col(c.SOURCE) == "popular")
    quiet = set(users[c.USER_ID]) - set(shop_events[c.USER_ID])
    assert "quiet" in quiet
    assert set(popular[c.USER_ID]) == quiet


@pytest.mark.parametrize("users_at_once", [133, 400])
def test_blocks_of_users_change_nothing(recommend, lists, users_at_once):
    assert recommend(users_at_once=users_at_once).equals(lists)


def test_partitions_are_the_whole_between_them(recommend, lists):
    parts = [recommend(partitions=3, partition=number) for number in range(3)]
    assert all(0 < part.height < lists.height for part in parts)
    assert pl.concat(parts).sort(c.USER_ID, c.RANK).equals(lists)


def test_a_partition_that_is_not_there():
    with pytest.raises(ValidationError, match="partition is 3; of 3 the last is partitions - 1"):
        InferenceOptions(partitions=3, partition=3)


def test_lists_are_what_a_request_gets(lists, model, tables, shop_split):
    snapshot = ServingSnapshot.of(*tables[:2], *tables[3:5], shop_split.as_of)
    service = RecommenderService(model, snapshot, "1")
    users = lists[c.USER_ID].unique().sort()[::40].to_list()
    context = {"time": shop_split.as_of}
    requests = [
        {"user_id": user, "k": K, "filter_purchased": False, "context": context} for user in users
    ]
    for answer in service.answer(requests, shop_split.as_of):
        mine = lists.filter(pl.col(c.USER_ID) == answer.user_id)
        assert [item.product_id for item in answer.items] == mine[c.PRODUCT_ID].to_list()
        assert [item.reason for item in answer.items] == mine[c.REASON].to_list()


def test_what_was_bought_is_left_out_on_wish(recommend, shop_events):
    bought = shop_events.filter(pl.col(c.EVENT_TYPE) == c.PURCHASE)
    pair = [c.USER_ID, c.PRODUCT_ID]
    assert recommend(filter_purchased=True).join(bought, on=pair, how="semi").is_empty()
    assert recommend(filter_purchased=False).join(bought, on=pair, how="semi").height


def test_events_from_the_cut_on_change_nothing(recommend, lists, shop_events, shop_split):
    later = shop_events[:50].with_columns(
        pl.lit(shop_split.as_of + timedelta(days=1))
        .cast(pl.Datetime("us", "UTC"))
        .alias(c.TIMESTAMP)
    )
    assert recommend(pl.concat([shop_events, later])).equals(lists)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 6])
def test_each_user_is_in_one_block(make_events, size):
    events = make_events(*(("abcde"[place % 5], "p", place) for place in range(12)))
    blocks = list(events_by_users(events, size))
    assert [block[c.USER_ID].n_unique() for block in blocks] == [
        min(size, 5 - first) for first in range(0, 5, size)
    ]
    assert pl.concat(blocks).equals(events.sort(c.USER_ID, maintain_order=True))
    assert list(events_by_users(events.clear(), size)) == []
