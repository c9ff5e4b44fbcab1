"""Wiring of the batch inference."""

from kedro.pipeline import Node, Pipeline

from recsys_kedro.pipelines.inference.nodes import read_champion_model, recommend_to_all


def create_pipeline() -> Pipeline:
    """The registered champion in; lists of all users out."""
    return Pipeline(
        [
            Node(
                read_champion_model,
                ["params:shop", "registration"],
                "champion_model",
                name="read_champion_model",
            ),
            Node(
                recommend_to_all,
                [
                    "champion_model",
                    "events",
                    "products",
                    "users",
                    "product_features",
                    "user_features",
                    "split",
                    "params:inference",
                    "params:features",
                ],
                "recommendations",
                name="recommend_to_all",
            ),
        ]
    )
