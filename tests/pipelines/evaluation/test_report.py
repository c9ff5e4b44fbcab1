from dataclasses import replace

import polars as pl
import pytest
from pages import assert_needs_nothing_but_itself

from recsys_kedro import columns as c
from recsys_kedro.pipelines.evaluation.report import render_report


@pytest.fixture(scope="module")
def page(shop, context):
    return render_report(shop.evaluate(), context)


def test_the_page_needs_nothing_but_itself(page):
    assert_needs_nothing_but_itself(page)


def test_the_page_has_four_pictures_and_both_tasks(page):
    assert page.count("<svg") == 4
    assert "All products (repeats count): 4 users" in page
    assert "Products new to the user: 1 users" in page


def test_the_headline_table_shows_the_figures_with_intervals(page, shop):
    figure = shop.evaluate()["tasks"]["all"]["models"]["ease"]["ndcg@10"]
    text = f"<b>{figure['value']:.3f}</b><span>{figure['low']:.3f} to {figure['high']:.3f}</span>"
    assert text in page


def test_the_same_evaluation_gives_the_same_page(page, shop, context):
    assert render_report(shop.evaluate(), context) == page


def test_a_made_up_shop_is_called_simulated_and_its_name_cannot_inject_markup(page, shop, context):
    made_up = render_report(shop.evaluate(), replace(context, shop="simulated <script>"))
    assert "SIMULATED DATA" in made_up
    assert "SIMULATED DATA" not in page
    assert "<script>" not in made_up


def test_the_report_says_when_a_baseline_wins(shop, context):
    """The hybrid's and EASE's lists exchanged."""
    swapped = shop.recommendations.with_columns(
        pl.col(c.MODEL).replace({"hybrid": "ease", "ease": "hybrid"})
    )
    page = render_report(replace(shop, recommendations=swapped).evaluate(), context)
    assert "A baseline wins: ease reaches NDCG@10 1.000" in page


@pytest.mark.parametrize("models", [("hybrid",), ("ease", "popularity")])
def test_any_set_of_models_can_be_reported(shop, context, models):
    page = render_report(shop.only_models(*models).evaluate(), context)
    assert "nothing to compare" in page


def test_a_shop_without_categories_segments_and_one_task_can_be_reported(shop, context):
    bare = replace(
        shop,
        truth=shop.truth.filter(task="all"),
        users=shop.users.clear(),
        products=shop.products.with_columns(pl.lit(None, pl.String).alias(c.CATEGORY)),
    )
    assert "n/a" in render_report(bare.evaluate(), context)
