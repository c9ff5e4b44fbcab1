"""What a run shows of its results at the end, and MLflow's metrics of them."""

from typing import Any

import mlflow
from kedro.framework.hooks import hook_impl
from rich.console import Console

from recsys_kedro.experiments.results import ExperimentResults
from recsys_kedro.hooks.tracking import metric_name
from recsys_kedro.metrics.evaluation import HEADLINE, Evaluation
from recsys_kedro.monitoring.alerts import MonitoringAlerts
from recsys_kedro.monitoring.figures import headlines_by_window
from recsys_kedro.pipelines.ab_testing.table import experiments_table, headline_figures
from recsys_kedro.pipelines.evaluation.table import evaluation_table
from recsys_kedro.pipelines.monitoring.table import monitoring_table

EVALUATION = "evaluation"
EXPERIMENT_RESULTS = "experiment_results"
MONITORING_FIGURES, MONITORING_ALERTS = "monitoring_figures", "monitoring_alerts"


class EvaluationSummary:
    """Logs the headline metric of every task and model, and shows the table at the end."""

    def __init__(self) -> None:
        """Start without an evaluation; only some runs make one."""
        self._evaluation: dict[str, Any] | None = None

    @hook_impl
    def after_node_run(self, outputs: dict[str, Any]) -> None:
        """Keep the evaluation when it comes by; log its headlines."""
        if EVALUATION not in outputs:
            return
        self._evaluation = outputs[EVALUATION]
        if mlflow.active_run() is not None:
            mlflow.log_metrics(headline_metrics(outputs[EVALUATION]))

    @hook_impl
    def after_pipeline_run(self) -> None:
        """Show the table, once all other output is written."""
        if self._evaluation is not None:
            Console().print(evaluation_table(self._evaluation))
            self._evaluation = None


def headline_metrics(evaluation: dict[str, Any]) -> dict[str, float]:
    """``test/<task>/<model>/ndcg_at_10`` of every task and model of ``evaluation.json``."""
    return {
        f"test/{task}/{model}/{metric_name(HEADLINE)}": result.headline(model)
        for task, result in Evaluation.model_validate(evaluation).tasks.items()
        for model in result.models
    }


class ExperimentSummary:
    """Logs the headline figures of every experiment, and shows the verdicts at the end."""

    def __init__(self) -> None:
        """Start without results; only some runs make them."""
        self._results: ExperimentResults | None = None

    @hook_impl
    def after_node_run(self, outputs: dict[str, Any]) -> None:
        """Keep the results when they come by; log their headlines."""
        if EXPERIMENT_RESULTS not in outputs:
            return
        self._results = outputs[EXPERIMENT_RESULTS]
        if mlflow.active_run() is not None:
            mlflow.log_metrics(headline_figures(outputs[EXPERIMENT_RESULTS]))

    @hook_impl
    def after_pipeline_run(self) -> None:
        """Show the table, once all other output is written."""
        if self._results is not None:
            Console().print(experiments_table(self._results))
            self._results = None


class MonitoringSummary:
    """Logs the figures of every window, and shows what is not fine, also where it fails a run."""

    def __init__(self) -> None:
        """Start with nothing judged; only some runs do so."""
        self._alerts: MonitoringAlerts | None = None

    @hook_impl
    def after_node_run(self, outputs: dict[str, Any]) -> None:
        """Log the figures (step: hours since 1970), keep the alerts when they come by."""
        if MONITORING_FIGURES in outputs and mlflow.active_run() is not None:
            for end, figures in headlines_by_window(outputs[MONITORING_FIGURES]):
                seconds = int(end.timestamp())
                metrics = {f"monitoring/{name}": value for name, value in figures.items()}
                mlflow.log_metrics(metrics, step=seconds // 3_600, timestamp=seconds * 1_000)
        self._alerts = outputs.get(MONITORING_ALERTS, self._alerts)

    @hook_impl
    def after_pipeline_run(self) -> None:
        """Show the table, once all other output is written."""
        self._show()

    @hook_impl
    def on_pipeline_error(self) -> None:
        """Show it above the alarm."""
        self._show()

    def _show(self) -> None:
        if self._alerts is not None:
            Console().print(monitoring_table(self._alerts))
            self._alerts = None
