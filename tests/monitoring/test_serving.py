"""What a real service logs, held against the tables that it was made of: there is no skew."""

from datetime import timedelta

import narwhals as nw
import polars as pl
import pytest

from recsys_kedro import columns as c
from recsys_kedro.features.options import FeatureOptions
from recsys_kedro.features.product import product_features
from recsys_kedro.features.user import user_features
from recsys_kedro.fitting import fit_model, training_data
from recsys_kedro.monitoring import columns as m
from recsys_kedro.monitoring.skew import compared_histories, compared_profiles
from recsys_kedro.serving.impression_files import ParquetImpressions, read_served_inputs
from recsys_kedro.serving.impressions import ImpressionLog
from recsys_kedro.serving.options import ServingOptions
from recsys_kedro.serving.recommender import RecommenderService
from recsys_kedro.serving.snapshot import ServingSnapshot
from recsys_kedro.serving.telemetry import Telemetry


@pytest.fixture(scope="module")
def features(shop, shop_events, shop_split):
    """Product and user features as they are served."""
    options, as_of = FeatureOptions(), shop_split.as_of
    lazy = [nw.from_native(table.lazy()) for table in (shop_events, shop.products, shop.users)]
    return (
        product_features(lazy[0], lazy[1], as_of, options).collect().to_native(),
        user_features(*lazy, as_of, options).collect().to_native(),
    )


@pytest.fixture(scope="module")
def served_inputs(
    shop, shop_events, shop_snapshots, shop_lists, shop_split, features, tmp_path_factory
):
    """Of users as they are, with an event in the request, and at an earlier time."""
    folder, as_of = tmp_path_factory.mktemp("log"), shop_split.as_of
    tables = (shop_events, shop.products, shop.users, shop_snapshots, shop_lists)
    model = fit_model("popularity", {}, training_data(*tables, shop_split, as_of), 5)
    telemetry = Telemetry()
    service = RecommenderService(
        model,
        ServingSnapshot.of(shop_events, shop.products, *features, as_of),
        "1",
        options=ServingOptions(inputs_share=1.0),
        impressions=ImpressionLog(ParquetImpressions(folder, 1_000, 1_000), 1_000, telemetry),
        telemetry=telemetry,
    )
    users = shop_events[c.USER_ID].unique().sort().to_list()
    product = shop.products[c.PRODUCT_ID][0]
    earlier = (as_of - timedelta(days=30)).isoformat()
    service.answer(
        [
            *({c.USER_ID: user} for user in users[:20]),
            {c.USER_ID: users[20], "events": [{c.PRODUCT_ID: product}]},
            {c.USER_ID: users[21], "context": {"time": earlier}},
            {c.USER_ID: "nobody", "events": [{c.PRODUCT_ID: product}]},
        ],
        as_of + timedelta(hours=1),
    )
    service.impressions.close()
    return read_served_inputs(folder)


def test_histories_are_those_of_the_tables(served_inputs, shop_events, shop_split):
    compared = compared_histories(served_inputs, shop_events, shop_split.as_of)
    assert served_inputs.height == 23
    assert compared.height > 500
    assert set(compared[m.DIFFERENCE]) == {"same"}


def test_profiles_are_those_of_the_table(served_inputs, features):
    compared = compared_profiles(served_inputs, features[1])
    assert compared[m.EXPECTED].is_not_null().mean() > 0.8
    assert not compared[m.DIFFERENCE].any()


def test_events_that_come_later_are_late(served_inputs, shop_events, shop_split, make_events):
    user = served_inputs[c.USER_ID][-1]
    later = make_events({c.USER_ID: user}).with_columns(pl.lit(shop_split.as_of).alias(c.TIMESTAMP))
    events = pl.concat([shop_events, later])
    compared = compared_histories(served_inputs, events, shop_split.as_of)
    wrong = compared.filter(pl.col(m.DIFFERENCE) != "same")
    assert wrong.select(c.USER_ID, m.DIFFERENCE).rows() == [(user, "late")]
