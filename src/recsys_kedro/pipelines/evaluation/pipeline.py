"""Wiring of the evaluation."""

from collections.abc import Iterable

from kedro.pipeline import Node, Pipeline

from recsys_kedro.models.registry import MODELS
from recsys_kedro.pipelines.evaluation.nodes import (
    concatenate_recommendations,
    evaluate,
    report_evaluation,
)


def create_pipeline(models: Iterable[str] = tuple(MODELS)) -> Pipeline:
    """Score the test lists of ``models``, side by side."""
    return Pipeline(
        [
            Node(
                concatenate_recommendations,
                [f"{model}.test_recommendations" for model in models],
                "test_recommendations",
                name="concatenate_recommendations",
            ),
            Node(
                evaluate,
                [
                    "test_truth",
                    "test_recommendations",
                    "events",
                    "products",
                    "users",
                    "split",
                    "params:evaluation",
                    "params:seed",
                ],
                "evaluation",
                name="evaluate",
            ),
            Node(
                report_evaluation,
                [
                    "evaluation",
                    "events",
                    "products",
                    "split",
                    "params:evaluation",
                    "params:seed",
                    "params:shop",
                ],
                "evaluation_report",
                name="report_evaluation",
            ),
        ]
    )
