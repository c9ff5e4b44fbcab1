"""Wiring of the online store."""

from kedro.pipeline import Node, Pipeline

from recsys_kedro.pipelines.online_store.nodes import materialise_users


def create_pipeline() -> Pipeline:
    """The tables of the served model's time in; users in Redis, and a report, out."""
    return Pipeline(
        [
            Node(
                materialise_users,
                [
                    "events",
                    "products",
                    "product_features",
                    "user_features",
                    "split",
                    "registration",
                    "params:online_store",
                    "params:shop",
                ],
                "online_store_report",
                name="materialise_users",
            ),
        ]
    )
