"""Nodes of the seasons: thin around the backtest and the model registry."""

import logging
from typing import Any

import polars as pl

from recsys_kedro.features.options import FeatureOptions
from recsys_kedro.fitting import fit_model
from recsys_kedro.model_card import ModelCard
from recsys_kedro.model_registry import champion_recipe, register_as, take_off
from recsys_kedro.models.hybrid import HybridOptions
from recsys_kedro.promotion import Promotion, Recipe
from recsys_kedro.ranking.onboarding import Quiz
from recsys_kedro.season_backtest import (
    WEIGHTED,
    LearnedFrom,
    SeasonReport,
    SeasonVerdict,
    judge_season,
)
from recsys_kedro.seasons import SeasonsOptions
from recsys_kedro.serving.registered_models import missing_champion, registered_name
from recsys_kedro.serving.snapshot import ServingSnapshot
from recsys_kedro.splits import TimeSplit
from recsys_kedro.training_lists import SamplingOptions

LOGGER = logging.getLogger(__name__)


def read_served_recipe(shop: str, options: SeasonsOptions) -> Recipe:
    """The champion's recipe, which the seasons weigh; an empty one where none is declared.

    Raises:
        ValueError: if there are seasons and no champion.
    """
    if not options.named:
        return Recipe()
    missing = missing_champion(registered_name(shop))
    if missing is not None:
        raise ValueError(missing)
    return champion_recipe(shop)


def judge_seasons(
    served: Recipe,
    events: pl.DataFrame,
    products: pl.DataFrame,
    users: pl.DataFrame,
    product_snapshots: pl.DataFrame,
    split: TimeSplit,
    options: SeasonsOptions,
    sampling: SamplingOptions,
    features: FeatureOptions,
    seed: int,
) -> SeasonReport:
    """Judge every declared season on its last occurrence."""
    tables = (events, products, users, product_snapshots)
    learned_from = LearnedFrom(*tables, split, sampling, features, seed)
    verdicts = [judge_season(name, learned_from, served, options) for name in options.named]
    for verdict in verdicts:
        LOGGER.info("season %s: %s", verdict.season, verdict.reason)
    return SeasonReport(served=served, seasons=verdicts)


def register_seasons(
    report: SeasonReport,
    events: pl.DataFrame,
    products: pl.DataFrame,
    users: pl.DataFrame,
    product_snapshots: pl.DataFrame,
    product_features: pl.DataFrame,
    user_features: pl.DataFrame,
    split: TimeSplit,
    quiz: Quiz,
    options: SeasonsOptions,
    sampling: SamplingOptions,
    features: FeatureOptions,
    seed: int,
    shop: str,
) -> dict[str, Any]:
    """Fit the seasons that passed on everything and register each under its alias.

    One that did not pass loses the alias if it has it from an earlier run.

    Returns:
        By season: ``alias``, ``version`` (empty where it did not pass), and ``taken_off``, the
        version that had the alias and lost it, if any.
    """
    tables = (events, products, users, product_snapshots)
    learned_from = LearnedFrom(*tables, split, sampling, features, seed)
    snapshot = ServingSnapshot.of(events, products, product_features, user_features, split.as_of)
    result: dict[str, Any] = {}
    for verdict in report.seasons:
        registered: dict[str, str | None] = {"alias": verdict.alias, "version": None}
        if verdict.passed:
            recipe = verdict.recipe
            settings = HybridOptions.model_validate(recipe.settings)
            data = learned_from.data(split.as_of, options.named[verdict.season], settings)
            model = fit_model(recipe.model, recipe.settings, data, seed)
            card = _card(verdict, report.served, split, shop)
            registered["version"] = register_as(verdict.alias, model, snapshot, quiz, card)
        else:
            registered["taken_off"] = take_off(shop, verdict.alias)
        result[verdict.season] = registered
    return result


def _card(verdict: SeasonVerdict, served: Recipe, split: TimeSplit, shop: str) -> ModelCard:
    """The validation window of a season's model is the backtest; it has no test window."""
    judged = {"validation_start": verdict.judged_from, "test_start": verdict.judged_until}
    promotion = Promotion(
        promote=False,
        recipe=verdict.recipe,
        champion=served,
        reasons=[f"Season {verdict.season}. {verdict.reason}"],
        figures={verdict.recipe.model: verdict.figures[WEIGHTED]},
        against_champion=verdict.difference,
    )
    return ModelCard(
        shop=shop,
        split=split.model_copy(update=judged),
        promotion=promotion,
        evaluation={"tasks": {}},
    )
