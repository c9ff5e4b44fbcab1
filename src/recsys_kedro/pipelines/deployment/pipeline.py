"""Wiring of the deployment."""

from collections.abc import Iterable

from kedro.pipeline import Node, Pipeline

from recsys_kedro.models.registry import MODELS
from recsys_kedro.pipelines.deployment.nodes import (
    champion_refitter_among,
    choose_onboarding_quiz,
    decider_among,
    fit_on_everything,
    read_champion,
    register_model,
)

LEARNED_FROM = ["events", "products", "users", "product_snapshots", "training_lists", "split"]

SERVED_FROM = ["events", "products", "product_features", "user_features", "split"]


def create_pipeline(models: Iterable[str] = tuple(MODELS)) -> Pipeline:
    """The choices of all models in; a registered model out."""
    models = tuple(models)
    outcomes = ("choice", "validation_recommendations")
    decided_on = [f"{model}.{outcome}" for outcome in outcomes for model in models]
    return Pipeline(
        [
            Node(read_champion, "params:shop", "champion_recipe", name="read_champion"),
            Node(
                champion_refitter_among(models),
                [
                    "champion_recipe",
                    *LEARNED_FROM,
                    *("validation_queries", "validation_truth", "params:seed"),
                    *decided_on,
                ],
                "champion_recommendations",
                name="recommend_as_champion",
            ),
            Node(
                decider_among(models),
                [
                    *("champion_recipe", "champion_recommendations", "validation_truth"),
                    "events",
                    "split",
                    "params:deployment",
                    "params:seed",
                    *decided_on,
                ],
                "promotion",
                name="decide_promotion",
            ),
            Node(
                fit_on_everything,
                ["promotion", *LEARNED_FROM, "params:seed"],
                "candidate_model",
                name="fit_on_everything",
            ),
            Node(
                choose_onboarding_quiz,
                ["events", "product_features", "split", "params:onboarding"],
                "onboarding_quiz",
                name="choose_onboarding_quiz",
            ),
            Node(
                register_model,
                [
                    "candidate_model",
                    "onboarding_quiz",
                    "promotion",
                    "evaluation",
                    *SERVED_FROM,
                    "params:shop",
                ],
                "registration",
                name="register_model",
            ),
        ]
    )
