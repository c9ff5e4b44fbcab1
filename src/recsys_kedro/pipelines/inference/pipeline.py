"""Wiring of the batch inference."""

from kedro.pipeline import Node, Pipeline

from recsys_kedro.pipelines.inference.nodes import recommend_to_all


def create_pipeline() -> Pipeline:
    """The model that was fitted on everything in; lists of all users out."""
    return Pipeline(
        [
            Node(
                recommend_to_all,
                [
                    "served_model",
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
            )
        ]
    )
