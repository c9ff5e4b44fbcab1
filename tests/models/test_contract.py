"""What every registered model has to keep. A new model is covered by being registered."""

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from recsys_kedro import columns as c
from recsys_kedro import queries as asking
from recsys_kedro.models.registry import MODELS

# The hybrid learns from training lists, which need weeks of events: see test_hybrid.py.
LEARNS_FROM_EVENTS = [name for name in MODELS if name != "hybrid"]
# A model whose default settings are too large for a test.
SMALL = {"ials": {"factors": 2}}

LIST = {c.QUERY: pl.Int64, c.PRODUCT_ID: pl.String, c.RANK: pl.Int64, c.SCORE: pl.Float64}


@pytest.fixture(params=LEARNS_FROM_EVENTS)
def fit(request, make_data):
    model = MODELS[request.param]
    options = model.options_type.model_validate(SMALL.get(model.name, {}))
    return lambda events: model.fit(make_data(events), options, seed=7)


def products_of(frame, query):
    return frame.filter(pl.col(c.QUERY) == query)[c.PRODUCT_ID].to_list()


def test_lists_are_ordered_and_whole(fit, events, ask):
    found = fit(events).recommend(ask(events, "ann", "nobody", "cy"), 3, exclude_seen=False)
    assert found.schema == LIST
    assert found[c.QUERY].to_list() == [0] * 3 + [1] * 3 + [2] * 3
    assert found[c.RANK].to_list() == [1, 2, 3] * 3
    assert found.select(c.QUERY, c.PRODUCT_ID).is_unique().all()
    for query in range(3):
        scores = found.filter(pl.col(c.QUERY) == query)[c.SCORE]
        assert scores.is_sorted(descending=True)


def test_when_k_is_larger_than_the_catalogue(fit, events, ask):
    found = fit(events).recommend(ask(events, "ann"), 100, exclude_seen=False)
    assert sorted(products_of(found, 0)) == ["a", "b", "c", "🫖"]


def test_when_the_shop_has_one_product(fit, make_events, ask):
    events = make_events(("ann", "only", 5), ("ben", "only", 3))
    found = fit(events).recommend(ask(events, "ann", "nobody"), 5, exclude_seen=False)
    assert found[c.PRODUCT_ID].to_list() == ["only", "only"]


def test_when_nobody_asks(fit, events, ask):
    model = fit(events)
    found = model.recommend(ask(events), 5, exclude_seen=False)
    assert found.schema == LIST
    assert found.is_empty()


def test_exclude_seen_leaves_out_what_was_taken(fit, events, ask):
    found = fit(events).recommend(ask(events, "ann", "ben"), 9, exclude_seen=True)
    assert sorted(products_of(found, 0)) == ["b", "c"]
    assert products_of(found, 1) == ["c"]


def test_exclude_seen_keeps_what_was_only_looked_at(fit, make_events, ask):
    events = make_events(("ann", "a", 3), ("ben", "b", 3), ("ann", "b", 1, c.CLICK))
    found = fit(events).recommend(ask(events, "ann"), 9, exclude_seen=True)
    assert products_of(found, 0) == ["b"]


def test_when_everything_is_seen_the_list_is_empty_and_the_others_stay(fit, make_events, ask):
    events = make_events(("ann", "a", 3), ("ann", "b", 2), ("ben", "a", 1))
    found = fit(events).recommend(ask(events, "ann", "ben"), 9, exclude_seen=True)
    assert products_of(found, 0) == []
    assert products_of(found, 1) == ["b"]


def test_unknown_products_in_the_history_change_nothing(fit, events, make_events, ask):
    model = fit(events)
    strange = ask(make_events(("new", "never seen", 2)), "new")
    assert_frame_equal(
        model.recommend(strange, 9, exclude_seen=True),
        model.recommend(ask(events, "nobody"), 9, exclude_seen=True),
    )


def test_the_same_fit_twice_gives_the_same_lists(fit, events, ask):
    asked = ask(events, "ann", "ben", "cy")
    first, second = (fit(events).recommend(asked, 9, exclude_seen=False) for _ in range(2))
    assert_frame_equal(first, second, check_exact=True)


def test_the_order_of_the_events_does_not_matter(fit, events, ask):
    asked = ask(events, "ann", "nobody")
    first, second = (
        fit(table).recommend(asked, 9, exclude_seen=False) for table in (events, events.reverse())
    )
    assert_frame_equal(first, second)


def test_a_loaded_model_gives_the_same_lists_and_holds_no_pickle(fit, events, ask, tmp_path):
    model, asked = fit(events), ask(events, "ann", "ben", "nobody")
    model.save(tmp_path / "model")
    loaded = type(model).load(tmp_path / "model")
    assert_frame_equal(
        loaded.recommend(asked, 9, exclude_seen=False),
        model.recommend(asked, 9, exclude_seen=False),
        check_exact=True,
    )
    suffixes = {path.suffix for path in (tmp_path / "model").rglob("*") if path.is_file()}
    assert suffixes <= {".json", ".npy", ".npz", ".parquet", ".safetensors"}


def test_score_gives_the_scores_of_the_lists(fit, events, ask):
    model, asked = fit(events), ask(events, "ann", "nobody", "cy")
    found = model.recommend(asked, 9, exclude_seen=False)
    scores = model.score(asked, found.reverse())
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores[::-1], found[c.SCORE], rtol=1e-6)


def test_an_unknown_candidate_scores_minus_infinity(fit, events, ask):
    candidates = pl.DataFrame({c.QUERY: [0, 0], c.PRODUCT_ID: ["a", "never seen"]})
    scores = fit(events).score(ask(events, "ann"), candidates)
    assert np.isfinite(scores[0])
    assert scores[1] == -np.inf


def test_batches_change_nothing(fit, events, ask, monkeypatch):
    model, asked = fit(events), ask(events, "ann", "ben", "nobody", "cy", "ann")
    whole = model.recommend(asked, 9, exclude_seen=True)
    candidates = whole.select(c.QUERY, c.PRODUCT_ID)
    scores = model.score(asked, candidates)
    monkeypatch.setattr(asking, "MOST_AT_ONCE", 2)
    assert_frame_equal(model.recommend(asked, 9, exclude_seen=True), whole)
    np.testing.assert_allclose(model.score(asked, candidates), scores, rtol=1e-5, atol=1e-6)
