"""What happens around a run: its locks, time, tags, its parameters and metrics in MLflow.

Nodes are pure functions; the clock, git and MLflow are met here.
"""

import hashlib
import subprocess
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from glob import glob
from pathlib import Path
from typing import Any

import mlflow
from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node
from kedro_mlflow.framework.hooks.mlflow_hook import MlflowHook
from pydantic import BaseModel
from rich.console import Console

from recsys_kedro.experiments.results import ExperimentResults
from recsys_kedro.metrics.evaluation import HEADLINE, Evaluation
from recsys_kedro.monitoring.alerts import MonitoringAlerts
from recsys_kedro.monitoring.figures import headlines_by_window
from recsys_kedro.pipelines.ab_testing.table import experiments_table, headline_figures
from recsys_kedro.pipelines.evaluation.table import evaluation_table
from recsys_kedro.pipelines.monitoring.table import monitoring_table
from recsys_kedro.run_lock import locked

CHOICE_SUFFIX = ".choice"
EVALUATION = "evaluation"
EXPERIMENT_RESULTS = "experiment_results"
MONITORING_FIGURES, MONITORING_ALERTS = "monitoring_figures", "monitoring_alerts"
RAW_EVENTS = "raw_events"
BYTES_WORTH_HASHING = 2**28


class RunLock:
    """Keeps two runs from writing the same dataset at once, where the data is on a disk."""

    def __init__(self) -> None:
        """Start with no lock."""
        self._folder: Path | None = None
        self._held = ExitStack()

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Remember where the data lies."""
        data = str(context.config_loader["globals"]["data"])
        self._folder = None if "://" in data else context.project_path / data

    @hook_impl
    def before_pipeline_run(self, pipeline: Pipeline) -> None:
        """Lock all that the run will write.

        Raises:
            RuntimeError: another run writes some of it.
        """
        self._held.close()
        if self._folder is None:
            return
        with ExitStack() as locks:
            for name in sorted(pipeline.all_outputs()):
                locks.enter_context(locked(self._folder, name))
            self._held = locks.pop_all()

    @hook_impl
    def after_pipeline_run(self) -> None:
        """Let others in."""
        self._held.close()

    @hook_impl
    def on_pipeline_error(self) -> None:
        """Let others in."""
        self._held.close()


class RunTime:
    """Gives ``params:run_time`` the start of the run, UTC, unless it is configured."""

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Fill the empty parameter before anything reads it."""
        parameters = context.config_loader["parameters"]
        if parameters["run_time"] is None:
            now = datetime.now(UTC).isoformat(timespec="seconds")
            context.config_loader["parameters"] = {**parameters, "run_time": now}


class MlflowByField(MlflowHook):
    """kedro-mlflow's hook, but an options class is logged field by field, not as one string."""

    @hook_impl
    def before_node_run(
        self, node: Node, catalog: DataCatalog, inputs: dict[str, Any], is_async: bool
    ) -> None:
        """Hand on the node's options as plain dictionaries, which ``mlflow.yml`` flattens."""
        plain = {
            name: value.model_dump(mode="json") if isinstance(value, BaseModel) else value
            for name, value in inputs.items()
        }
        super().before_node_run(node=node, catalog=catalog, inputs=plain, is_async=is_async)


class RunTags:
    """Tags a run with what it was made from: environment, shop, commit, raw data."""

    def __init__(self) -> None:
        """Start without a project; it is known when the context is."""
        self._project = Path()
        self._shop = ""
        self._catalog: DataCatalog | None = None

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Remember where the project lies and whose data it has."""
        self._project = context.project_path
        self._shop = context.config_loader["globals"]["shop"]

    @hook_impl
    def before_pipeline_run(self, run_params: dict[str, Any], catalog: DataCatalog) -> None:
        """Set the tags on the run that has just been opened."""
        if mlflow.active_run() is None:
            return
        self._catalog = catalog
        tags = {"shop": self._shop, "env": run_params["env"] or "base"}
        mlflow.set_tags(tags | git_tags(self._project))

    @hook_impl
    def after_dataset_loaded(self, dataset_name: str) -> None:
        """Tag the raw events once they are read: a run may land some of them itself."""
        if dataset_name == RAW_EVENTS and self._catalog and mlflow.active_run() is not None:
            mlflow.set_tags(_file_tags(self._catalog))


def git_tags(project: Path) -> dict[str, str]:
    """``git.commit`` and ``git.dirty`` of the checkout; nothing where there is none."""
    try:
        commit = _git(project, "rev-parse", "HEAD")
        changes = _git(project, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return {}
    return {"git.commit": commit, "git.dirty": str(bool(changes)).lower()}


def _git(project: Path, *command: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(project), *command], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def _file_tags(catalog: DataCatalog) -> dict[str, str]:
    """The digest of the raw events, where they are local files of moderate size."""
    pattern = str(getattr(catalog[RAW_EVENTS], "_filepath", ""))
    paths = [Path(path) for path in sorted(glob(pattern))]
    if not paths or sum(path.stat().st_size for path in paths) > BYTES_WORTH_HASHING:
        return {}
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.read_bytes())
    return {f"{RAW_EVENTS}.sha256": digest.hexdigest()}


class EpochMetrics:
    """Logs every number of every epoch of a fit as ``<model>/<name>``, step = epoch."""

    @hook_impl
    def after_node_run(self, outputs: dict[str, Any]) -> None:
        """Look for datasets named ``<model>.choice`` that tell their epochs."""
        if mlflow.active_run() is None:
            return
        for name, value in outputs.items():
            if name.endswith(CHOICE_SUFFIX):
                for step, metrics in epoch_metrics(name.removesuffix(CHOICE_SUFFIX), value):
                    mlflow.log_metrics(metrics, step=step)


def epoch_metrics(model: str, choice: Any) -> list[tuple[int, dict[str, float]]]:
    """(epoch number from 1, metrics by name) of each epoch that ``choice`` tells of."""
    fields = choice.model_dump() if isinstance(choice, BaseModel) else choice
    epochs = fields["epochs"] if isinstance(fields, Mapping) and "epochs" in fields else ()
    return [
        (
            int(epoch.get("epoch", number)),
            {
                f"{model}/{metric_name(key)}": float(value)
                for key, value in epoch.items()
                if key != "epoch" and isinstance(value, int | float)
            },
        )
        for number, epoch in enumerate(epochs, start=1)
    ]


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


def metric_name(name: str) -> str:
    """A metric's name as MLflow takes it: ``ndcg@10`` is ``ndcg_at_10``."""
    return name.replace("@", "_at_")
