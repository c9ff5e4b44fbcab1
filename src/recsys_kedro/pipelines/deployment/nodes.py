"""Nodes of the deployment: thin around the gate and the model registry."""

from collections.abc import Callable
from typing import Any

import polars as pl

from recsys_kedro import columns as c
from recsys_kedro.features import columns as f
from recsys_kedro.fitting import (
    Choice,
    data_for_choosing,
    fit_model,
    recommend_tasks,
    started_users,
    training_data,
)
from recsys_kedro.model_card import ModelCard
from recsys_kedro.model_registry import champion_recipe, register
from recsys_kedro.models.base import Recommender
from recsys_kedro.pipelines.deployment.options import DeploymentOptions
from recsys_kedro.promotion import Promotion, Recipe, decide, recipe_of
from recsys_kedro.queries import Queries
from recsys_kedro.ranking.onboarding import OnboardingOptions, Quiz, choose_quiz
from recsys_kedro.serving.snapshot import ServingSnapshot
from recsys_kedro.splits import TimeSplit
from recsys_kedro.training_lists import TrainingLists

Refitter = Callable[..., pl.DataFrame]
Decider = Callable[..., Promotion]

NO_LISTS = pl.DataFrame(
    schema={
        **dict.fromkeys((c.TASK, c.MODEL, c.USER_ID, c.PRODUCT_ID), pl.String),
        c.RANK: pl.Int64,
        c.SCORE: pl.Float64,
    }
)


def read_champion(shop: str) -> Recipe:
    """The recipe that is served now, as the model registry knows it."""
    return champion_recipe(shop)


def champion_refitter_among(models: tuple[str, ...]) -> Refitter:
    """The node function that has the champion's recipe compete with these models."""

    def recommend_as_champion(
        champion: Recipe,
        events: pl.DataFrame,
        products: pl.DataFrame,
        users: pl.DataFrame,
        product_snapshots: pl.DataFrame,
        training_lists: TrainingLists,
        split: TimeSplit,
        validation_queries: Queries,
        validation_truth: pl.DataFrame,
        seed: int,
        *choices_and_lists: Any,
    ) -> pl.DataFrame:
        """The validation lists of the champion's recipe, fitted before the validation window.

        No rows where there is no champion. A recipe that is among the choices has been fitted
        on the same data already: its lists are taken as they are.
        """
        if not champion.model:
            return NO_LISTS
        choices, lists = _by_model(models, choices_and_lists)
        for choice in choices:
            if recipe_of(choice).same_as(champion):
                return lists[choice.model]
        data = data_for_choosing(
            events,
            products,
            users,
            product_snapshots,
            training_lists,
            split,
            validation_queries,
            validation_truth,
        )
        fitted = fit_model(champion.model, champion.settings, data, seed)
        return recommend_tasks(fitted, validation_queries)

    return recommend_as_champion


def decider_among(models: tuple[str, ...]) -> Decider:
    """The node function of the gate for these models."""

    def decide_promotion(
        champion: Recipe,
        champion_recommendations: pl.DataFrame,
        validation_truth: pl.DataFrame,
        events: pl.DataFrame,
        split: TimeSplit,
        options: DeploymentOptions,
        seed: int,
        *choices_and_lists: Any,
    ) -> Promotion:
        """Compare the best model of validation with the champion, on the same data."""
        choices, lists = _by_model(models, choices_and_lists)
        return decide(
            choices,
            lists,
            champion,
            champion_recommendations if champion.model else None,
            started_users(validation_truth, events, split.validation_start),
            options.margin,
            options.resamples,
            options.confidence,
            seed,
        )

    return decide_promotion


def _by_model(
    models: tuple[str, ...], choices_and_lists: tuple[Any, ...]
) -> tuple[list[Choice], dict[str, pl.DataFrame]]:
    """The choices, and the validation lists by model, of the nodes' last inputs."""
    choices = list(choices_and_lists[: len(models)])
    return choices, dict(zip(models, choices_and_lists[len(models) :], strict=True))


def fit_on_everything(
    promotion: Promotion,
    events: pl.DataFrame,
    products: pl.DataFrame,
    users: pl.DataFrame,
    product_snapshots: pl.DataFrame,
    training_lists: TrainingLists,
    split: TimeSplit,
    seed: int,
) -> Recommender:
    """The winner of validation, fitted on all data.

    It is registered whatever the gate said, so that a challenger can be looked at.
    """
    data = training_data(
        events, products, users, product_snapshots, training_lists, split, split.as_of
    )
    return fit_model(promotion.recipe.model, promotion.recipe.settings, data, seed)


def choose_onboarding_quiz(
    events: pl.DataFrame,
    product_features: pl.DataFrame,
    split: TimeSplit,
    options: OnboardingOptions,
) -> Quiz:
    """What to ask a user of whom nothing is known, about products that can be had."""
    for_sale = product_features.filter(pl.col(f.IN_STOCK))
    return choose_quiz(events, for_sale, split.as_of, split.target_event_types, options)


def register_model(
    model: Recommender,
    quiz: Quiz,
    promotion: Promotion,
    evaluation: dict[str, Any],
    events: pl.DataFrame,
    products: pl.DataFrame,
    product_features: pl.DataFrame,
    user_features: pl.DataFrame,
    split: TimeSplit,
    shop: str,
) -> dict[str, Any]:
    """Register the model; ``champion`` moves to it if the gate passed and it answers.

    A model that did not pass gets the alias ``challenger`` and serves nobody: requests and the
    lists for all users stay with the champion.
    """
    snapshot = ServingSnapshot.of(events, products, product_features, user_features, split.as_of)
    card = ModelCard(shop=shop, split=split, promotion=promotion, evaluation=evaluation)
    return register(model, snapshot, quiz, card)
