"""What a run says of a tuning at its end, and what MLflow keeps of it beside the trials."""

from typing import Any

import mlflow
from kedro.framework.hooks import hook_impl
from rich.console import Console

from recsys_kedro.hooks.tracking import by_field, metric_name
from recsys_kedro.pipelines.tuning.table import headline_figures, tuning_table
from recsys_kedro.tuning.results import TuningResult

TUNING_RESULT = "tuning_result"


class TuningSummary:
    """Logs the best settings and what they gain, and shows the verdict at the end."""

    def __init__(self) -> None:
        """Start without a result; only some runs make one."""
        self._result: TuningResult | None = None

    @hook_impl
    def after_node_run(self, outputs: dict[str, Any]) -> None:
        """Keep the result when it comes by; log ``tuned.<model>.<field>`` and its figures."""
        if TUNING_RESULT not in outputs:
            return
        result: TuningResult = outputs[TUNING_RESULT]
        self._result = result
        if mlflow.active_run() is not None:
            settings = result.trial(result.best).settings
            mlflow.log_params(by_field(f"tuned.{result.model}", settings))
            figures = headline_figures(result)
            mlflow.log_metrics({metric_name(name): value for name, value in figures.items()})
            mlflow.set_tag("tuning.verdict", result.verdict)

    @hook_impl
    def after_pipeline_run(self) -> None:
        """Show the table, once all other output is written."""
        if self._result is not None:
            Console().print(tuning_table(self._result))
            self._result = None
