from datetime import UTC, datetime, timedelta

import narwhals as nw
import numpy as np
import polars as pl
import pytest

from recsys_kedro import columns as c
from recsys_kedro.features import columns as f
from recsys_kedro.features.options import FeatureOptions
from recsys_kedro.features.product import product_features
from recsys_kedro.features.user import user_features
from recsys_kedro.models.base import TrainingData
from recsys_kedro.models.item_knn import ItemKNN, ItemKNNOptions
from recsys_kedro.ranking.rules import Rules
from recsys_kedro.serving.recommender import RecommenderService
from recsys_kedro.serving.snapshot import ServingSnapshot

NOW = datetime(2024, 6, 1, tzinfo=UTC)
NAMES = ["cup", "pot", "tea", "jar", "mug"]
BOUGHT = {"ann": ["cup", "pot"], "bob": ["cup", "pot", "tea"], "all": NAMES, "eve": ["jar", "mug"]}


@pytest.fixture(scope="module")
def tables():
    rows = [
        (user, product, NOW - timedelta(days=20 - place), f"{user}-{place}")
        for user, products in BOUGHT.items()
        for place, product in enumerate(products)
    ]
    events = pl.DataFrame(
        rows,
        schema={
            c.USER_ID: pl.String,
            c.PRODUCT_ID: pl.String,
            c.TIMESTAMP: pl.Datetime("us", "UTC"),
            c.SESSION_ID: pl.String,
        },
        orient="row",
    ).with_columns(
        pl.lit(c.PURCHASE).alias(c.EVENT_TYPE),
        pl.lit(2.0).alias(c.PRICE),
        pl.lit(1.0).alias(c.QUANTITY),
        pl.lit(None, pl.String).alias(c.CATEGORY),
        pl.int_range(pl.len(), dtype=pl.Int64).alias(c.SOURCE_ROW),
    )
    products = pl.DataFrame({c.PRODUCT_ID: NAMES, c.NAME: [f"A {n}" for n in NAMES]}).with_columns(
        pl.lit("kitchen").alias(c.CATEGORY),
        *(pl.lit(None, pl.String).alias(name) for name in (c.SUBCATEGORY, c.BRAND, c.FEATURES)),
        pl.lit(3.0).alias(c.PRICE),
        pl.lit(None, pl.Int64).alias(c.STOCK_QUANTITY),
        *(
            pl.lit(None, pl.Datetime("us", "UTC")).alias(name)
            for name in (c.CREATED_AT, c.UPDATED_AT)
        ),
    )
    users = pl.DataFrame({c.USER_ID: list(BOUGHT)}).with_columns(
        *(pl.lit(None, pl.String).alias(n) for n in (c.DEMOGRAPHICS, c.PREFERENCES, c.SEGMENT)),
        pl.lit(None, pl.Float64).alias(c.LIFETIME_VALUE),
        pl.lit(None, pl.Datetime("us", "UTC")).alias(c.CREATED_AT),
    )
    return events, products, users


@pytest.fixture(scope="module")
def snapshot(tables):
    events, products, _ = tables
    lazy = [nw.from_native(table.lazy()) for table in tables]
    options = FeatureOptions()
    return ServingSnapshot.of(
        events,
        products,
        nw.to_native(product_features(lazy[0], lazy[1], NOW, options).collect()),
        nw.to_native(user_features(*lazy, NOW, options).collect()),
        NOW,
    )


@pytest.fixture(scope="module")
def model(tables):
    events, products, users = tables
    data = TrainingData(events, products, users, NOW, (c.PURCHASE,))
    return ItemKNN.fit(data, ItemKNNOptions(own_weight=1), seed=1)


@pytest.fixture
def service(model, snapshot):
    return RecommenderService(model, snapshot, "7")


def one(service, **request):
    (answer,) = service.answer([request], NOW)
    return answer


def products_of(answer):
    return [item.product_id for item in answer.items]


def test_what_goes_with_the_history_comes_first_and_what_was_bought_not_at_all(service):
    answer = one(service, user_id="ann", k=2)
    assert products_of(answer)[0] == "tea"
    assert answer.fallback is None
    assert answer.model_version == "7"
    assert answer.items[0].name == "A tea"
    assert answer.items[0].category == "kitchen"
    assert answer.items[0].price == 2.0  # as last sold, not the list price


def test_what_was_bought_comes_back_when_it_is_not_filtered(service):
    answer = one(service, user_id="ann", k=2, filter_purchased=False)
    assert set(products_of(answer)) == {"cup", "pot"}


def test_unknown_user_gets_popular_products_and_is_told_so(service):
    answer = one(service, user_id="nobody", k=3)
    assert answer.fallback == "unknown_user"
    assert {item.source for item in answer.items} == {"popular"}
    assert len(answer.items) == 3


def test_reasons_of_a_baseline(service):
    new = one(service, user_id="ann", k=1).items[0]
    assert new.source == "neighbours"
    assert new.reason in {"Goes with A cup", "Goes with A pot"}
    own = one(service, user_id="ann", k=1, filter_purchased=False).items[0]
    assert own.source == "history"
    assert own.reason == "You bought it 3 weeks ago"


def test_price_of_a_product_that_is_sold_out_is_known_but_it_is_not_popular(tables):
    events, products, _ = tables
    features = pl.DataFrame({c.PRODUCT_ID: ["cup"], c.PRICE: [2.5], f.IN_STOCK: [False]})
    counts = (f.PURCHASES_30D, f.VIEWS_30D, f.PURCHASES_ALL_TIME)
    features = features.with_columns(pl.lit(9).alias(name) for name in counts)
    snapshot = ServingSnapshot.of(events, products, features, pl.DataFrame({c.USER_ID: []}), NOW)
    cup = snapshot.products.row(by_predicate=pl.col(c.PRODUCT_ID) == "cup", named=True)
    assert (cup[c.PRICE], cup[c.SCORE]) == (2.5, None)
    assert snapshot.popular.is_empty()


def test_user_who_has_everything_still_gets_a_list(service):
    answer = one(service, user_id="all", k=3)
    assert answer.fallback == "nothing_left"
    assert len(answer.items) == 3


def test_model_that_fails_costs_quality_not_the_answer(snapshot, model, monkeypatch, caplog):
    def fail(*_, **__):
        raise RuntimeError("secret detail")

    monkeypatch.setattr(model, "recommend", fail)
    answer = one(RecommenderService(model, snapshot, "7"), user_id="ann")
    assert answer.fallback == "model_failed"
    assert set(products_of(answer)) == {"tea", "jar", "mug"}
    assert "secret detail" in caplog.text
    assert "secret detail" not in answer.model_dump_json()


def test_request_that_breaks_the_model_does_not_cost_its_neighbours(
    snapshot, model, monkeypatch, caplog
):
    healthy = model.recommend

    def fail_for_bob(queries, *_, **options):
        if "bob" in queries.requests[c.USER_ID]:
            raise ValueError("bob")
        return healthy(queries, *_, **options)

    monkeypatch.setattr(model, "recommend", fail_for_bob)
    requests = [{"user_id": "ann", "k": 1}, {"user_id": "bob"}, {"user_id": "eve", "k": 1}]
    ann, bob, eve = RecommenderService(model, snapshot, "7").answer(requests, NOW)
    assert [answer.fallback for answer in (ann, bob, eve)] == [None, "model_failed", None]
    assert products_of(ann) == ["tea"]
    assert set(products_of(bob)) == {"jar", "mug"}


@pytest.mark.parametrize(
    ("request_", "named"),
    [
        ({"user_id": "ann", "k": 0}, "k:"),
        ({"user_id": "ann", "k": "many"}, "k:"),
        ({"user_id": ""}, "user_id:"),
        ({"k": 3}, "user_id:"),
        ({"user_id": "ann", "events": [{"product_id": "cup", "price": -1}]}, "events.0.price:"),
        ({"user_id": "ann", "events": [{"event_type": "click"}]}, "events.0.product_id:"),
        ({"user_id": "ann", "context": {"time": "yesterday"}}, "context.time"),
        ({"user_id": "ann", "colour": "secret-value"}, "colour:"),
        ({"user_id": "ann", "context": {"time": "9999-12-31T23:59:59-12:00"}}, "context.time:"),
        ({"user_id": "ann", "context": {"time": "0001-01-01T00:00:00+12:00"}}, "context.time:"),
        ({"user_id": "ann", "context": {"category": "\ud800"}}, "context.category:"),
        ({"user_id": "ann", "events": [{"product_id": "\ud800"}]}, "events.0.product_id:"),
        ({"user_id": "\ud800"}, "user_id:"),
        ("ann", "request:"),
        (None, "request:"),
    ],
)
def test_bad_request_is_told_what_is_wrong_and_its_neighbours_are_served(service, request_, named):
    bad, good = service.answer([request_, {"user_id": "ann"}], NOW)
    assert bad.error is not None
    assert bad.error.startswith(named)
    assert "secret-value" not in bad.error
    assert bad.items == []
    assert good.error is None
    assert good.items


def test_events_of_the_request_count_as_history(service):
    events = [{"product_id": "jar", "event_type": "purchase"}]
    answer = one(service, user_id="nobody", events=events, k=1)
    assert answer.fallback is None
    assert products_of(answer) == ["mug"]


def test_events_after_the_time_of_the_request_do_not_count(service):
    later = [{"product_id": "jar", "event_type": "purchase", "timestamp": "2024-06-02T00:00:00Z"}]
    answer = one(service, user_id="nobody", events=later, context={"time": "2024-06-01T00:00:00Z"})
    assert answer.fallback == "unknown_user"


def test_stored_history_after_the_time_of_the_request_does_not_count(service):
    answer = one(service, user_id="ann", context={"time": "2024-05-01T00:00:00Z"})
    assert answer.fallback == "unknown_user"


def test_events_of_unknown_products_are_harmless(service):
    events = [{"product_id": "'; DROP TABLE \n ☕", "event_type": "click"}]
    answer = one(service, user_id="ann", events=events, k=1)
    assert products_of(answer) == ["tea"]


def test_naive_time_is_utc(service):
    answer = one(service, user_id="ann", context={"time": "2024-05-31T00:00:00"})
    assert answer.as_of == "2024-05-31T00:00:00+00:00"


def test_long_after_its_data_the_model_answers_as_of_its_data(service):
    (stale,) = service.answer([{"user_id": "ann"}], NOW + timedelta(days=365))
    (fresh,) = service.answer([{"user_id": "ann"}], NOW + timedelta(days=2))
    assert stale.as_of == NOW.isoformat()
    assert fresh.as_of == (NOW + timedelta(days=2)).isoformat()


@pytest.mark.parametrize("k", [1, 5, 1000])
def test_list_is_as_long_as_asked_or_as_there_are_products(service, k):
    answer = one(service, user_id="eve", k=k, filter_purchased=False)
    assert len(answer.items) == min(k, len(NAMES))
    assert [item.rank for item in answer.items] == list(range(1, len(answer.items) + 1))


def test_batch_gives_what_single_requests_give(service):
    requests = [
        {"user_id": "ann", "k": 1},
        {"user_id": "nobody"},
        {"user_id": "bob", "k": 4, "filter_purchased": False},
        {"user_id": "ann", "k": 3},
    ]
    together = service.answer(requests, NOW)
    alone = [service.answer([request], NOW)[0] for request in requests]
    assert [products_of(answer) for answer in together] == [products_of(a) for a in alone]
    scores = [
        [[item.score for item in answer.items] for answer in side] for side in (together, alone)
    ]
    for one_, other in zip(*scores, strict=True):
        np.testing.assert_allclose(one_, other, rtol=1e-6)


def test_no_requests_no_answers(service):
    assert service.answer([], NOW) == []


def test_snapshot_round_trip(snapshot, tmp_path):
    snapshot.save(tmp_path)
    loaded = ServingSnapshot.load(tmp_path)
    assert loaded.history("bob").equals(snapshot.history("bob"))
    assert loaded.history("nobody").is_empty()
    assert loaded.profiles_of(["bob", "nobody", "bob"]).equals(
        snapshot.profiles_of(["bob", "nobody", "bob"])
    )
    assert loaded.as_of == NOW


def test_rules_that_name_what_is_not_there_are_told(model, snapshot, caplog):
    rules = Rules(deny_products={"cup", "gone"}, boosted_categories={"garden": 1.0})
    service = RecommenderService(model, snapshot, "7", rules=rules)
    assert "deny_products names what the catalogue lacks: gone" in caplog.text
    assert "boosted_categories names what the catalogue lacks: garden" in caplog.text
    answer = one(service, user_id="nobody", k=5)
    assert set(products_of(answer)) == set(NAMES) - {"cup"}
