"""Wiring of the tuning."""

from kedro.pipeline import Node, Pipeline

from recsys_kedro.pipelines.tuning.nodes import (
    build_tuning_report,
    search_settings,
    write_tuned_settings,
)

LEARNED_FROM = ["events", "products", "users", "product_snapshots", "training_lists", "split"]


def create_pipeline() -> Pipeline:
    """What the training learns from in; the best settings found, and a report, out."""
    asked = ["validation_queries", "validation_truth"]
    options = ["params:models", "params:tuning", "params:shop", "params:seed"]
    return Pipeline(
        [
            Node(
                search_settings,
                [*LEARNED_FROM, *asked, *options],
                "tuning_result",
                name="search_settings",
            ),
            Node(
                write_tuned_settings,
                "tuning_result",
                "tuned_settings",
                name="write_tuned_settings",
            ),
            Node(
                build_tuning_report,
                "tuning_result",
                "tuning_report",
                name="build_tuning_report",
            ),
        ]
    )
