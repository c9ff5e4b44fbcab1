"""Ingestion: a shop's raw tables become the tables of the data contract."""

from kedro.pipeline import Node, Pipeline

from recsys_kedro.pipelines.ingestion.nodes import (
    admit_events,
    build_events,
    build_products,
    build_users,
    land_events,
    report_ingestion,
    screen_events,
)


def create_pipeline() -> Pipeline:
    """Raw tables in; events, products, users, the rejected rows and a report out."""
    return Pipeline(
        [
            Node(land_events, "params:landing", "landing_report", name="land_events"),
            Node(
                screen_events,
                [
                    "raw_events",
                    "event_spill",
                    "params:ingestion",
                    "params:run_time",
                    "landing_report",
                ],
                ["screened_events", "rejected_events", "screening"],
                name="screen_events",
            ),
            Node(
                admit_events,
                ["screened_events", "screening", "params:ingestion"],
                "admitted_events",
                name="admit_events",
            ),
            Node(
                build_events, ["admitted_events", "params:ingestion"], "events", name="build_events"
            ),
            Node(
                build_products,
                ["admitted_events", "raw_products", "params:ingestion"],
                "products",
                name="build_products",
            ),
            Node(
                build_users,
                ["admitted_events", "raw_users", "params:ingestion"],
                "users",
                name="build_users",
            ),
            Node(
                report_ingestion,
                ["screening", "admitted_events", "products", "users", "params:ingestion"],
                "ingestion_report",
                name="report_ingestion",
            ),
        ]
    )
