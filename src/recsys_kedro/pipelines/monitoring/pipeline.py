"""Wiring of the monitoring; it is run by its name only."""

from kedro.pipeline import Node, Pipeline

from recsys_kedro.pipelines.monitoring.nodes import (
    follow_impressions,
    gather_figures,
    judge_window,
    measure_business,
    measure_data,
    measure_drift,
    measure_model,
    measure_skew,
    measure_system,
    plan_windows,
    raise_alarm,
    report_monitoring,
)

SHOWN, WINDOWS, OPTIONS = "followed_impressions", "monitoring_windows", "params:monitoring"


def create_pipeline() -> Pipeline:
    """The serving log and the shop's tables in; figures, alerts, report and the alarm out."""
    return Pipeline([*_measuring(), *_telling()])


def _measuring() -> list[Node]:
    return [
        Node(plan_windows, ["impressions", OPTIONS], WINDOWS, name="plan_windows"),
        Node(
            follow_impressions,
            ["impressions", "events", "products", WINDOWS, OPTIONS],
            SHOWN,
            name="follow_impressions",
        ),
        Node(measure_business, [SHOWN, WINDOWS], "business_figures", name="measure_business"),
        Node(
            measure_model,
            [SHOWN, "events", "products", "split", WINDOWS],
            "model_figures",
            name="measure_model",
        ),
        Node(measure_system, [SHOWN, WINDOWS, OPTIONS], "system_figures", name="measure_system"),
        Node(
            measure_data,
            [
                "events",
                "product_features",
                "user_features",
                "ingestion_report",
                "split",
                WINDOWS,
            ],
            "data_figures",
            name="measure_data",
        ),
        Node(
            measure_drift,
            [SHOWN, "served_inputs", "events", WINDOWS],
            "drift_figures",
            name="measure_drift",
        ),
        Node(
            measure_skew,
            [SHOWN, "served_inputs", "events", "user_features", "split", WINDOWS],
            "skew",
            name="measure_skew",
        ),
    ]


def _telling() -> list[Node]:
    return [
        Node(
            gather_figures,
            [
                "business_figures",
                "model_figures",
                "system_figures",
                "data_figures",
                "drift_figures",
                "skew",
            ],
            "monitoring_figures",
            name="gather_figures",
        ),
        Node(
            judge_window,
            ["monitoring_figures", "skew", WINDOWS, OPTIONS, "params:shop"],
            "monitoring_alerts",
            name="judge_window",
        ),
        Node(
            report_monitoring,
            ["monitoring_figures", "monitoring_alerts", OPTIONS],
            "monitoring_report",
            name="report_monitoring",
        ),
        Node(
            raise_alarm,
            ["monitoring_alerts", "monitoring_report", OPTIONS],
            None,
            name="raise_alarm",
        ),
    ]
