"""Wiring of the training: the same two nodes for every model, in a namespace of its own."""

from collections.abc import Iterable

from kedro.pipeline import Node, Pipeline

from recsys_kedro.models.registry import MODELS
from recsys_kedro.pipelines.training.nodes import chooser_of, tester_of

LEARNED_FROM = ["events", "products", "users", "product_snapshots", "training_lists", "split"]


def create_pipeline(models: Iterable[str] = tuple(MODELS)) -> Pipeline:
    """Choose on validation, recommend for the test window."""
    return Pipeline([node for model in models for node in _nodes_of(model)])


def _nodes_of(model: str) -> list[Node]:
    asked = ["validation_queries", "validation_truth", "params:models", "params:seed"]
    return [
        Node(
            chooser_of(model),
            [*LEARNED_FROM, *asked],
            [f"{model}.choice", f"{model}.validation_recommendations"],
            name=f"choose_{model}",
            namespace=model,
        ),
        Node(
            tester_of(model),
            [f"{model}.choice", *LEARNED_FROM, "test_queries", "params:seed"],
            f"{model}.test_recommendations",
            name=f"test_{model}",
            namespace=model,
        ),
    ]
