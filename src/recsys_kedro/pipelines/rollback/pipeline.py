"""Wiring of the rollback; it is run by its name only."""

from kedro.pipeline import Node, Pipeline

from recsys_kedro.pipelines.rollback.nodes import roll_back_champion


def create_pipeline() -> Pipeline:
    """The shop in; what is champion now out."""
    return Pipeline(
        [Node(roll_back_champion, "params:shop", "rollback_report", name="roll_back_champion")]
    )
