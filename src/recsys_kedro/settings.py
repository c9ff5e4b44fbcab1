"""How Kedro runs this project: where its configuration lies, and its hooks."""

import os
from pathlib import Path

from kedro.utils import find_kedro_project
from omegaconf.resolvers import oc

from recsys_kedro.hooks import (
    EvaluationSummary,
    ExperimentSummary,
    FitRecord,
    MlflowByField,
    MonitoringSummary,
    RunLock,
    RunRecord,
    RunTags,
    RunTime,
    TuningSummary,
)

# kedro-mlflow's hook is registered below, in a form that logs options by field.
DISABLE_HOOKS_FOR_PLUGINS = ("kedro_mlflow", "kedro-telemetry")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("KEDRO_DISABLE_TELEMETRY", "1")

# Kedro calls the last one first: a run that may not start is not tracked, and MlflowByField has
# opened the run when the others log.
HOOKS = (
    EvaluationSummary(),
    ExperimentSummary(),
    MonitoringSummary(),
    TuningSummary(),
    FitRecord(),
    RunRecord(),
    RunTags(),
    RunTime(),
    MlflowByField(),
    RunLock(),
)


def project_path() -> str:
    """The folder of this project, absolute; the same from a notebook's folder."""
    return (find_kedro_project(Path.cwd()) or Path.cwd()).as_posix()


CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "local",
    "merge_strategy": {"parameters": "soft", "mlflow": "soft"},
    "config_patterns": {"mlflow": ["mlflow*"]},
    # oc.env: what is secret, or differs from machine to machine, comes from the environment.
    "custom_resolvers": {"project_path": project_path, "oc.env": oc.env},
}
