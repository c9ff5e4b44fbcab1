"""Wiring of the seasons; it is run by its name only."""

from kedro.pipeline import Node, Pipeline

from recsys_kedro.pipelines.seasons.nodes import (
    judge_seasons,
    read_served_recipe,
    register_seasons,
)

TABLES = ["events", "products", "users", "product_snapshots"]
SERVED_FROM = ["product_features", "user_features", "split", "onboarding_quiz"]
OPTIONS = ["params:seasons", "params:sampling", "params:features", "params:seed"]


def create_pipeline() -> Pipeline:
    """The tables and the champion's recipe in; verdicts and registered models out."""
    return Pipeline(
        [
            Node(
                read_served_recipe,
                ["params:shop", "params:seasons"],
                "served_recipe",
                name="read_served_recipe",
            ),
            Node(
                judge_seasons,
                ["served_recipe", *TABLES, "split", *OPTIONS],
                "season_report",
                name="judge_seasons",
            ),
            Node(
                register_seasons,
                ["season_report", *TABLES, *SERVED_FROM, *OPTIONS, "params:shop"],
                "season_registrations",
                name="register_seasons",
            ),
        ]
    )
