"""A trial as MLflow keeps it: a run of its own inside the run that finished it."""

import mlflow
from mlflow.entities import Metric, Param, RunStatus
from mlflow.tracking import MlflowClient
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NAME

from recsys_kedro.fitting import SCORE
from recsys_kedro.tuning.results import Trial

LONGEST_VALUE = 500


def log_trial(trial: Trial) -> None:
    """Log settings, the figures of every epoch, score and seconds; nothing without a run.

    The nested run has the trial's own times, so its duration is that of the trial. A trial that
    was killed has none.
    """
    parent = mlflow.active_run()
    if parent is None:
        return
    client = MlflowClient()
    began = int(trial.started.timestamp() * 1_000)
    ended = began + round(trial.seconds * 1_000)
    run = client.create_run(
        parent.info.experiment_id,
        start_time=began,
        tags={
            MLFLOW_PARENT_RUN_ID: parent.info.run_id,
            MLFLOW_RUN_NAME: f"trial {trial.number}",
            "ending": trial.ending,
            "preset": "" if trial.preset is None else str(trial.preset),
        },
    )
    metrics = [
        Metric(_name(name), float(value), ended, int(epoch["epoch"]))
        for epoch in trial.epochs
        for name, value in epoch.items()
        if name != "epoch"
    ]
    metrics.append(Metric("trial_seconds", trial.seconds, ended, 0))
    if trial.score is not None:
        metrics.append(Metric(_name(SCORE), trial.score, ended, 0))
    params = [Param(name, str(value)[:LONGEST_VALUE]) for name, value in trial.values.items()]
    client.log_batch(run.info.run_id, metrics, params)
    client.set_terminated(run.info.run_id, RunStatus.to_string(RunStatus.FINISHED), ended)


def _name(name: str) -> str:
    return name.replace("@", "_at_")
