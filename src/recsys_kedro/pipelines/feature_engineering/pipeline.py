"""Wiring of the feature engineering."""

from kedro.pipeline import Node, Pipeline

from recsys_kedro.pipelines.feature_engineering.nodes import (
    build_product_features,
    build_product_snapshots,
    build_user_features,
    split_time,
)


def create_pipeline() -> Pipeline:
    """The shop's tables in; the time split, and feature tables as of its cuts, out."""
    return Pipeline(
        [
            Node(
                split_time, ["events", "params:as_of", "params:split"], "split", name="split_time"
            ),
            Node(
                build_user_features,
                ["events", "products", "users", "split", "params:features"],
                "user_features",
                name="build_user_features",
            ),
            Node(
                build_product_features,
                ["events", "products", "split", "params:features"],
                "product_features",
                name="build_product_features",
            ),
            Node(
                build_product_snapshots,
                ["events", "products", "split", "params:features"],
                "product_snapshots",
                name="build_product_snapshots",
            ),
        ]
    )
