from datetime import timedelta

import polars as pl
import pytest

from recsys_kedro import columns as c
from recsys_kedro.features.options import FeatureOptions
from recsys_kedro.fitting import Choice, figures_of, queries_at
from recsys_kedro.models.popularity import PopularityOptions, RecentPopularityOptions
from recsys_kedro.pipelines.deployment import nodes
from recsys_kedro.pipelines.deployment.options import DeploymentOptions
from recsys_kedro.pipelines.sampling.nodes import build_truth
from recsys_kedro.promotion import Promotion, Recipe
from recsys_kedro.schemas import RECOMMENDATIONS_TO_SCORE

OPTIONS = RecentPopularityOptions(half_life_days=3).model_dump(mode="json")


@pytest.fixture(scope="module")
def learned_from(shop, shop_events, shop_snapshots, shop_lists, shop_split):
    return [shop_events, shop.products, shop.users, shop_snapshots, shop_lists, shop_split]


@pytest.fixture(scope="module")
def truth(shop_events, shop_split):
    return build_truth(shop_events, shop_split)[0]


@pytest.fixture(scope="module")
def queries(shop, shop_events, shop_split, truth):
    users = truth.select(c.USER_ID)
    cut = shop_split.validation_start
    return queries_at(users, shop_events, shop.products, shop.users, cut, FeatureOptions())


@pytest.fixture(scope="module")
def refit(learned_from, queries, truth):
    """The champion's lists, beside one model that was chosen on the same data."""
    own = pl.DataFrame({c.MODEL: ["its own lists"]})

    def lists(champion, events=None, settings=OPTIONS):
        data = [learned_from[0] if events is None else events, *learned_from[1:]]
        model = "recent_popularity"
        choice = Choice(model=model, settings=settings, figures={}, trials=[], epochs=[])
        node = nodes.champion_refitter_among((model,))
        return node(champion, *data, queries, truth, 7, choice, own)

    return lists


def test_no_champion_has_no_lists(refit):
    nothing = refit(Recipe())
    assert nothing.is_empty()
    RECOMMENDATIONS_TO_SCORE.validate(nothing)


def test_recipe_that_was_just_chosen_is_not_fitted_again(refit):
    lists = refit(Recipe(model="recent_popularity", settings=OPTIONS))
    assert lists[c.MODEL].to_list() == ["its own lists"]


@pytest.mark.parametrize("model", ["popularity", "recent_popularity"])
def test_other_recipe_is_fitted_before_the_validation_window(
    refit, model, learned_from, shop_split, queries
):
    champion = Recipe(model=model, settings={})
    lists = refit(champion)
    assert set(lists[c.MODEL]) == {model}
    assert set(lists[c.USER_ID]) == set(queries.requests[c.USER_ID])
    past = learned_from[0].filter(pl.col(c.TIMESTAMP) < shop_split.validation_start)
    assert refit(champion, events=past).equals(lists)


def test_only_users_who_had_started_are_judged(shop_events, shop_split, truth, refit):
    """A stranger in the truth, whom nobody could serve, changes nothing."""
    champion = Recipe(model="popularity", settings=PopularityOptions().model_dump(mode="json"))
    lists = refit(champion)
    stranger = pl.DataFrame(
        {c.TASK: ["all"], c.USER_ID: ["stranger"], c.PRODUCT_ID: ["P1"]}, schema=truth.schema
    )
    figures = figures_of(truth, lists)
    choice = Choice(model="popularity", settings={"x": 1}, figures=figures, trials=[], epochs=[])
    decide = nodes.decider_among(("popularity",))
    one, other = (
        decide(
            champion, lists, asked, shop_events, shop_split, DeploymentOptions(), 7, choice, lists
        )
        for asked in (truth, pl.concat([truth, stranger]))
    )
    assert one == other
    assert one.against_champion == (0, 0, 0)
    assert not one.promote, "another recipe that is no better"


def test_winner_is_fitted_on_everything(learned_from, shop_split):
    recipe = Recipe(model="popularity", settings=PopularityOptions().model_dump(mode="json"))
    promotion = Promotion(
        promote=False,
        recipe=recipe,
        champion=Recipe(),
        reasons=[],
        figures={},
        against_champion=None,
    )
    events, split = learned_from[0], shop_split
    last = events.filter(pl.col(c.TIMESTAMP) >= split.test_start)[c.PRODUCT_ID][0]
    many = events.filter(pl.col(c.TIMESTAMP) >= split.test_start)[:1]
    many = pl.concat([many] * 2_000).with_columns(
        pl.lit(c.PURCHASE).alias(c.EVENT_TYPE), pl.lit(last).alias(c.PRODUCT_ID)
    )
    model = nodes.fit_on_everything(promotion, pl.concat([events, many]), *learned_from[1:], seed=7)
    favourite = model.vocabulary.decode(model.popularity.argmax()[None])
    assert favourite.to_list() == [last]
    assert split.as_of - split.test_start >= timedelta(days=1)
