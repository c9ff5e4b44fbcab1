"""What happens around a run. Nodes are pure functions; the clock, git and MLflow are met here."""

from recsys_kedro.hooks.runs import RunLock, RunTime
from recsys_kedro.hooks.summaries import EvaluationSummary, ExperimentSummary, MonitoringSummary
from recsys_kedro.hooks.tracking import FitRecord, MlflowByField, RunRecord, RunTags
from recsys_kedro.hooks.tuning import TuningSummary

__all__ = [
    "EvaluationSummary",
    "ExperimentSummary",
    "FitRecord",
    "MlflowByField",
    "MonitoringSummary",
    "RunLock",
    "RunRecord",
    "RunTags",
    "RunTime",
    "TuningSummary",
]
