"""Wiring of the A/B tests' analysis; it is run by its name only."""

from kedro.pipeline import Node, Pipeline

from recsys_kedro.pipelines.ab_testing.nodes import (
    analyse_experiments,
    report_experiments,
    tabulate_effects,
)


def create_pipeline() -> Pipeline:
    """From what was shown and done to verdicts."""
    return Pipeline(
        [
            Node(
                analyse_experiments,
                [
                    "impressions",
                    "events",
                    "products",
                    "experiments",
                    "params:ab_testing",
                    "params:as_of",
                ],
                "experiment_results",
                name="analyse_experiments",
            ),
            Node(
                tabulate_effects,
                "experiment_results",
                "experiment_effects",
                name="tabulate_effects",
            ),
            Node(
                report_experiments,
                ["experiment_results", "params:ab_testing", "params:shop"],
                "experiment_report",
                name="report_experiments",
            ),
        ]
    )
