"""Wiring of the sampling."""

from kedro.pipeline import Node, Pipeline

from recsys_kedro.pipelines.sampling.nodes import (
    build_evaluation_queries,
    build_lists,
    build_truth,
)


def create_pipeline() -> Pipeline:
    """Events and features in; truths, queries and training lists out."""
    return Pipeline(
        [
            Node(
                build_truth,
                ["events", "split"],
                ["validation_truth", "test_truth"],
                name="build_truth",
            ),
            Node(
                build_evaluation_queries,
                [
                    "validation_truth",
                    "test_truth",
                    "events",
                    "products",
                    "users",
                    "split",
                    "params:features",
                ],
                ["validation_queries", "test_queries"],
                name="build_evaluation_queries",
            ),
            Node(
                build_lists,
                [
                    "events",
                    "products",
                    "users",
                    "product_snapshots",
                    "split",
                    "params:sampling",
                    "params:features",
                    "params:seed",
                ],
                "training_lists",
                name="build_lists",
            ),
        ]
    )
