"""The hybrid on a small simulated shop; it keeps the contract that the other models keep."""

from dataclasses import replace
from datetime import timedelta

import narwhals as nw
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from safetensors.torch import load_file, save_file

from recsys_kedro import columns as c
from recsys_kedro.features.options import FeatureOptions
from recsys_kedro.features.snapshots import product_snapshots
from recsys_kedro.fitting import figures_of, fit_model, queries_at, recommend_tasks, training_data
from recsys_kedro.models.hybrid import Hybrid, HybridOptions
from recsys_kedro.queries import build_queries
from recsys_kedro.splits import window_truth

SEED = 5
SMALL = {"training": {"epochs": 2, "batch_size": 32}, "list_size": 32}


@pytest.fixture(scope="module")
def data(shop, shop_events, shop_snapshots, shop_lists, shop_split):
    cut = shop_split.test_start
    tables = (shop_events, shop.products, shop.users, shop_snapshots, shop_lists)
    return training_data(*tables, shop_split, cut)


@pytest.fixture(scope="module")
def model(data):
    return Hybrid.fit(data, HybridOptions.model_validate(SMALL), SEED)


@pytest.fixture(scope="module")
def queries(shop, shop_events, data):
    users = shop_events.select(c.USER_ID).unique().sort(c.USER_ID).head(25)
    return queries_at(users, shop_events, shop.products, shop.users, data.cut, FeatureOptions())


def test_same_seed_same_losses_and_lists(data, model, queries):
    again = Hybrid.fit(data, HybridOptions.model_validate(SMALL), SEED)
    for one, other in zip(model.epochs, again.epochs, strict=True):
        assert one["loss_all"] == pytest.approx(other["loss_all"], abs=1e-6)
    assert_frame_equal(
        model.recommend(queries, 10, exclude_seen=False),
        again.recommend(queries, 10, exclude_seen=False),
        abs_tol=1e-6,
    )
    assert model.epochs[1]["loss_all"] < model.epochs[0]["loss_all"]


def test_each_part_of_the_loss_has_its_weight(data):
    def losses_of(**weights):
        options = HybridOptions.model_validate(SMALL | {"training": {"epochs": 1}} | weights)
        return Hybrid.fit(data, options, SEED).epochs[0]

    both, softmax = losses_of(top_weight=1.0, new_weight=0.0), losses_of(top_weight=0.0)
    assert both["loss_all"] > 1.1 * softmax["loss_all"]
    assert both["loss_new"] == 0 < softmax["loss_new"]


def test_another_future_leaves_no_trace(
    shop, shop_events, shop_snapshots, shop_split, build_shop_lists, model, queries
):
    """Snapshots, lists and fit from a log that goes on otherwise after the cut: the same lists.

    The future is changed and not cut off, so that the catalogue, and with it the order in
    which random numbers are drawn, stays. Scores are compared within their list: the loss is
    listwise, so what all products of a list have in common is decided by rounding.
    """
    cut = shop_split.test_start
    later = pl.col(c.TIMESTAMP) >= cut
    future = shop_events.filter(later)
    assert future.height > 1_000
    mixed = future.with_columns(future[c.PRODUCT_ID].shuffle(seed=1))
    changed = pl.concat([shop_events.filter(~later), mixed])
    changed = changed.sort(c.USER_ID, c.TIMESTAMP, c.SOURCE_ROW)
    times = shop_snapshots["snapshot_time"].unique().sort().to_list()
    tables = (nw.from_native(table.lazy()) for table in (changed, shop.products))
    snapshots = product_snapshots(*tables, times, FeatureOptions()).collect().to_native()
    assert not snapshots.equals(shop_snapshots)
    lists = build_shop_lists(events=changed, snapshots=snapshots)
    data = training_data(changed, shop.products, shop.users, snapshots, lists, shop_split, cut)
    fitted = Hybrid.fit(data, HybridOptions.model_validate(SMALL), SEED)
    users = queries.requests.select(c.USER_ID)
    asked = queries_at(users, changed, shop.products, shop.users, cut, FeatureOptions())
    assert_frame_equal(
        within_lists(model.recommend(queries, 10, exclude_seen=True)),
        within_lists(fitted.recommend(asked, 10, exclude_seen=True)),
        abs_tol=1e-4,
    )


def within_lists(recommended):
    return recommended.with_columns(pl.col(c.SCORE) - pl.col(c.SCORE).first().over(c.QUERY))


def test_loaded_model_gives_the_same_lists_and_holds_no_pickle(model, queries, tmp_path):
    model.save(tmp_path)
    loaded = Hybrid.load(tmp_path)
    assert_frame_equal(
        model.recommend(queries, 10, exclude_seen=True),
        loaded.recommend(queries, 10, exclude_seen=True),
    )
    kinds = {path.suffix for path in tmp_path.rglob("*") if path.is_file()}
    assert kinds <= {".json", ".parquet", ".safetensors"}
    assert loaded.options == model.options


@pytest.mark.parametrize("k", [1, 10, 10_000])
def test_lists_are_ordered_whole_and_of_known_products(model, queries, k):
    found = model.recommend(queries, k, exclude_seen=False)
    assert found.select(c.QUERY, c.PRODUCT_ID).is_unique().all()
    per_query = found.group_by(c.QUERY, maintain_order=True).agg(c.RANK, c.SCORE)
    assert per_query.height == len(queries)
    for ranks, scores in per_query.select(c.RANK, c.SCORE).iter_rows():
        assert ranks == list(range(1, len(ranks) + 1))
        assert scores == sorted(scores, reverse=True)
        assert len(ranks) <= k
    assert found[c.PRODUCT_ID].is_in(model.snapshot.vocabulary.ids.implode()).all()


def test_exclude_seen_leaves_out_what_was_bought_and_nothing_else(model, queries):
    every = model.recommend(queries, 10_000, exclude_seen=False)
    new = model.recommend(queries, 10_000, exclude_seen=True)
    bought = queries.history.with_columns(pl.Series(c.QUERY, queries.rows)).filter(
        pl.col(c.EVENT_TYPE) == c.PURCHASE
    )
    expected = every.join(bought, on=[c.QUERY, c.PRODUCT_ID], how="anti")
    keys = [c.QUERY, c.PRODUCT_ID]
    assert_frame_equal(expected.select(keys).sort(keys), new.select(keys).sort(keys))


def test_one_query_alone_gets_what_it_gets_among_others(model, queries):
    together = model.recommend(queries, 10, exclude_seen=False)
    for row in (0, 7, 24):
        alone = model.recommend(queries.slice(row, row + 1), 10, exclude_seen=False)
        there = together.filter(pl.col(c.QUERY) == row).with_columns(pl.col(c.QUERY) * 0)
        assert_frame_equal(alone, there, abs_tol=1e-5)


def test_score_gives_the_scores_of_the_lists(model, queries):
    found = model.recommend(queries, 5, exclude_seen=False)
    shuffled = found.sample(fraction=1.0, shuffle=True, seed=1)
    scores = model.score(queries, shuffled)
    assert scores == pytest.approx(shuffled[c.SCORE].to_numpy(), abs=1e-4)
    unknown = shuffled.head(1).with_columns(pl.lit("no such product").alias(c.PRODUCT_ID))
    assert model.score(queries, unknown)[0] == -float("inf")


def test_stranger_and_history_of_unknown_products_get_lists(model, shop_events, data):
    odd = shop_events.head(3).with_columns(
        pl.lit("odd").alias(c.USER_ID), pl.lit("no such product ☕").alias(c.PRODUCT_ID)
    )
    requests = pl.DataFrame({c.USER_ID: ["odd", "stranger"], c.AS_OF: [data.cut] * 2})
    found = model.recommend(build_queries(odd, requests), 5, exclude_seen=True)
    assert found.group_by(c.QUERY).len()["len"].to_list() == [5, 5]


def test_tastes_are_found(shop, shop_events, shop_split, data, model):
    """20 % above popularity on the mean of both tasks, on the test window."""
    truth = window_truth(shop_events, data.cut, shop_split.end, shop_split)
    started = data.events.select(c.USER_ID).unique()
    truth = truth.join(started, on=c.USER_ID, how="semi")
    asked = queries_at(truth, shop_events, shop.products, shop.users, data.cut, FeatureOptions())
    popular = fit_model("popularity", {}, data, SEED)
    mine = figures_of(truth, recommend_tasks(model, asked))
    theirs = figures_of(truth, recommend_tasks(popular, asked))
    assert mine["mean_ndcg@10"] > 1.2 * theirs["mean_ndcg@10"]


def test_a_model_with_another_network_is_told_from_this_version(model, tmp_path):
    model.save(tmp_path)
    weights = load_file(tmp_path / "network.safetensors")
    weights["fusion.0.weight"] = weights["fusion.0.weight"][:, 1:].contiguous()
    save_file(weights, tmp_path / "network.safetensors")
    with pytest.raises(ValueError, match=r"another network\. Fit it anew"):
        Hybrid.load(tmp_path)


def test_a_model_of_other_pair_features_is_told_from_this_version(model, queries, monkeypatch):
    had = model.network.sizes.pair_features
    monkeypatch.setattr(model.network, "sizes", model.network.sizes._replace(pair_features=had - 1))
    with pytest.raises(ValueError, match=rf"fitted with {had - 1} .* has {had}\. Fit it anew"):
        model.recommend(queries, 3, exclude_seen=False)


def test_without_lists_the_error_says_what_to_run(data):
    with pytest.raises(ValueError, match="run the sampling pipeline first"):
        Hybrid.fit(replace(data, lists=None), HybridOptions(), SEED)


def test_before_the_first_list_the_error_says_what_to_change(data, shop_split):
    early = replace(data, cut=shop_split.validation_start - timedelta(days=365))
    with pytest.raises(ValueError, match=r"split\.horizon_days"):
        Hybrid.fit(early, HybridOptions(), SEED)
