import polars as pl
import pytest

from recsys_kedro import columns as c
from recsys_kedro.models.base import TrainingData
from recsys_kedro.models.registry import MODELS
from recsys_kedro.queries import build_queries
from recsys_kedro.serving.explanations import recommend_explained

BASELINES = {
    "popularity": {"popular"},
    "recent_popularity": {"trending"},
    "own_history": {"history", "popular"},
    "item_knn": {"history", "neighbours"},
    "ease": {"history", "ease"},
    "ials": {"history", "retrieval"},
}


@pytest.fixture(scope="module")
def bought(make_events):
    """Everybody has had a cup and a pot; only the second user has not had the tea."""
    users = {"u1": ["cup", "pot"], "u2": ["pot"], "u3": ["cup", "pot", "tea"], "u4": ["jar"]}
    return make_events(
        *(
            (user, product, day)
            for user, items in users.items()
            for day, product in enumerate(items)
        )
    )


@pytest.mark.parametrize("name", BASELINES)
def test_every_baseline_says_why(name, bought, day):
    model_type = MODELS[name]
    products = pl.DataFrame({c.PRODUCT_ID: ["cup", "pot", "tea", "jar"]}).with_columns(
        name=pl.format("A {}", c.PRODUCT_ID), category=pl.lit("kitchen")
    )
    data = TrainingData(bought, products, pl.DataFrame(), day(30), (c.PURCHASE,))
    model = model_type.fit(data, model_type.options_type(), 1)
    queries = build_queries(bought, pl.DataFrame({c.USER_ID: ["u1"], c.AS_OF: [day(30)]}))
    best = recommend_explained(model, queries, products, 4, exclude_seen=False)
    assert set(best[c.SOURCE]) == BASELINES[name]
    assert best[c.REASON].str.len_chars().min() > 0
    own = best.filter(pl.col(c.SOURCE) == "history")
    assert set(own[c.PRODUCT_ID]) <= {"cup", "pot"}
    assert own[c.REASON].str.starts_with("You bought it").all()
    plain = model.recommend(queries, 4, exclude_seen=False)
    assert best.select(plain.columns).equals(plain)
    if name in ("item_knn", "ease"):
        tea = best.row(by_predicate=pl.col(c.PRODUCT_ID) == "tea", named=True)
        assert tea[c.REASON] in {"Goes with A cup", "Goes with A pot"}
