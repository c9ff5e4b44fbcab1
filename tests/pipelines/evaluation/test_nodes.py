import json
from dataclasses import replace
from math import log2

import polars as pl
import pytest

from recsys_kedro import columns as c
from recsys_kedro import schemas
from recsys_kedro.metrics.lists import ndcg_by_user
from recsys_kedro.metrics.slices import headline_truth
from recsys_kedro.pipelines.evaluation.nodes import (
    concatenate_recommendations,
    report_evaluation,
)

SECOND = (1 / log2(3)) / (1 / log2(2))
"""NDCG of a list whose only relevant product is second."""


def value(figures, metric):
    return figures[metric]["value"]


def test_the_headline_is_the_mean_over_users_with_a_past(shop):
    task = shop.evaluate()["tasks"]["all"]
    u1 = SECOND / (1 / log2(2) + 1 / log2(3))
    assert task["users"] == 4
    assert value(task["models"]["hybrid"], "ndcg@10") == pytest.approx((1 + 1 + 1 + 1) / 4)
    assert value(task["models"]["ease"], "ndcg@10") == pytest.approx((u1 + 3 * SECOND) / 4)
    assert value(task["models"]["ease"], "precision@5") == pytest.approx((4 * 1 / 5) / 4)


def test_a_model_without_lists_for_a_task_scores_zero_there(shop):
    models = shop.evaluate()["tasks"]["new"]["models"]
    assert value(models["popularity"], "ndcg@10") == 0
    assert models["popularity"]["novelty@10"] == {"value": None, "low": None, "high": None}


def test_the_headline_equals_ndcg_by_user_on_the_headline_truth(shop):
    truth = headline_truth(shop.truth, shop.events, shop.split.test_start)
    by_user = ndcg_by_user(truth, shop.recommendations, 10)
    evaluation = shop.evaluate()
    means = by_user.group_by(c.TASK, c.MODEL).agg(pl.col("ndcg").mean())
    assert means.height == 6
    for task, model, mean in means.rows():
        assert value(evaluation["tasks"][task]["models"][model], "ndcg@10") == pytest.approx(mean)


def test_users_without_a_past_are_a_slice_of_their_own(shop):
    slices = shop.evaluate()["tasks"]["all"]["slices"]["history_length"]
    assert {name: group["users"] for name, group in slices.items()} == {
        "0": 1,
        "1": 2,
        "2-5": 1,
        "6+": 1,
    }
    assert value(slices["0"]["models"]["hybrid"], "ndcg@10") == 1
    assert value(slices["0"]["models"]["ease"], "ndcg@10") == 0


def test_product_slices_are_the_recall_of_products_taken_before_and_never(shop):
    slices = shop.evaluate()["tasks"]["all"]["slices"]["products"]
    assert (slices["new"]["users"], slices["known"]["users"]) == (1, 4)
    assert value(slices["new"]["models"]["hybrid"], "recall@10") == 1
    assert value(slices["new"]["models"]["ease"], "recall@10") == 0
    assert value(slices["known"]["models"]["ease"], "recall@1") == 0
    assert value(slices["known"]["models"]["ease"], "recall@5") == 1


def test_small_segments_are_put_together_and_none_is_lost(shop):
    slices = shop.evaluate()["tasks"]["all"]["slices"]["segment"]
    assert {name: group["users"] for name, group in slices.items()} == {
        "club": 2,
        "no segment": 1,
        "other segments": 1,
    }


def test_a_shop_without_segments_has_no_segment_slice(shop):
    users = shop.users.with_columns(pl.lit(None, pl.String).alias(c.SEGMENT))
    assert "segment" not in replace(shop, users=users).evaluate()["tasks"]["all"]["slices"]


def test_coverage_looks_at_the_lists_of_the_headline_only(shop):
    lists = shop.recommendations.filter(pl.col(c.MODEL) == "hybrid", pl.col(c.USER_ID) != "u5")
    expected = lists.filter(task="all", rank=1)[c.PRODUCT_ID].n_unique() / 4
    figures = shop.evaluate()["tasks"]["all"]["models"]["hybrid"]
    assert figures["coverage@1"] == {"value": expected, "low": None, "high": None}


def test_differences_are_paired_against_the_best_baseline(shop):
    task = shop.evaluate()["tasks"]["all"]
    ndcg = {model: value(figures, "ndcg@10") for model, figures in task["models"].items()}
    baseline = max(("ease", "popularity"), key=ndcg.__getitem__)
    differences = task["differences"]
    assert differences["baseline"] == baseline
    assert set(differences["models"]) == {"hybrid", "ease", "popularity"} - {baseline}
    got = differences["models"]["hybrid"]
    assert got["value"] == pytest.approx(ndcg["hybrid"] - ndcg[baseline])
    assert got["low"] <= got["value"] <= got["high"]


def test_the_hybrid_alone_has_no_baseline(shop):
    task = shop.only_models("hybrid").evaluate()["tasks"]["all"]
    assert task["differences"] == {"baseline": None, "models": {}}


def test_events_from_the_cut_on_change_nothing(shop):
    late = shop.events.filter(pl.col(c.TIMESTAMP) >= shop.split.test_start)
    future = pl.concat([shop.events, *[late.with_columns(user_id=pl.lit("u2"))] * 3])
    assert replace(shop, events=future).evaluate() == shop.evaluate()


def test_the_same_seed_gives_the_same_figures_in_any_order_of_rows(shop):
    shuffled = replace(
        shop,
        truth=shop.truth.sample(fraction=1, shuffle=True, seed=1),
        recommendations=shop.recommendations.sample(fraction=1, shuffle=True, seed=2),
        events=shop.events.sample(fraction=1, shuffle=True, seed=3),
    )
    assert shuffled.evaluate(seed=7) == shop.evaluate(seed=7)
    assert shop.evaluate(seed=8) != shop.evaluate(seed=7)


def test_the_evaluation_is_strict_json_of_the_agreed_shape(shop):
    evaluation = json.loads(json.dumps(shop.evaluate(), allow_nan=False))
    assert list(evaluation) == ["schema_version", "cut", "end", "tasks"]
    assert evaluation["cut"] == "2024-03-01T00:00:00Z"
    assert list(evaluation["tasks"]) == ["all", "new"]
    for task in evaluation["tasks"].values():
        assert list(task) == ["users", "models", "slices", "differences"]
        for figures in task["models"].values():
            assert all(list(figure) == ["value", "low", "high"] for figure in figures.values())


def test_a_task_that_nobody_has_a_truth_for_is_empty_not_an_error(shop):
    evaluation = replace(shop, truth=shop.truth.filter(task="all")).evaluate()
    assert evaluation["tasks"]["new"]["users"] == 0


def test_recommendations_are_put_together_in_a_fixed_order(shop):
    parts = shop.recommendations.partition_by(c.MODEL)
    together = concatenate_recommendations(*parts)
    assert together.equals(concatenate_recommendations(*reversed(parts)))
    schemas.RECOMMENDATIONS_TO_SCORE.validate(together)
    assert together.height == shop.recommendations.height


def test_a_model_without_any_list_is_an_error(shop):
    with pytest.raises(ValueError, match="input 2 of 2 has no rows"):
        concatenate_recommendations(shop.recommendations, shop.recommendations.clear())


def test_the_report_counts_what_lies_before_the_cut(shop):
    page = report_evaluation(
        shop.evaluate(), shop.events, shop.products, shop.split, shop.options, 0, "corner_shop"
    )
    assert "11 events of\n      4 users; 4 products" in page
