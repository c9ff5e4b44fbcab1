from datetime import UTC, datetime

import mlflow
import pytest

from recsys_kedro.tuning.results import Ending, Trial
from recsys_kedro.tuning.tracking import log_trial

# MLflow's own code, which makes a database here, warns of itself.
pytestmark = pytest.mark.filterwarnings("default")
STARTED = datetime(2024, 3, 1, 12, tzinfo=UTC)


def make_trial(**changes):
    fields = {
        "number": 3,
        "ending": Ending.COMPLETE,
        "preset": None,
        "values": {"network.width": 32, "half_life": None},
        "settings": {"network": {"width": 32}},
        "score": 0.25,
        "epochs": [
            {"epoch": 1, "loss_all": 2.0, "validation_ndcg@10": 0.125},
            {"epoch": 2, "loss_all": 1.0, "validation_ndcg@10": 0.25},
        ],
        "started": STARTED,
        "seconds": 1.5,
    }
    return Trial.model_validate(fields | changes)


@pytest.fixture
def runs(tmp_path):
    """All runs of a tracking database of this test."""
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
    mlflow.create_experiment("tiny", artifact_location=str(tmp_path / "artifacts"))
    mlflow.set_experiment("tiny")
    yield lambda: mlflow.search_runs(output_format="list")
    mlflow.set_tracking_uri(before)


def test_a_trial_is_a_run_inside_the_run(runs):
    with mlflow.start_run() as parent:
        log_trial(make_trial())
        log_trial(make_trial(number=4, ending=Ending.PRUNED, score=None))
        assert mlflow.active_run().info.run_id == parent.info.run_id
    nested = {run.info.run_name: run for run in runs() if run.info.run_id != parent.info.run_id}
    assert set(nested) == {"trial 3", "trial 4"}
    complete, pruned = nested["trial 3"], nested["trial 4"]
    assert complete.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert complete.data.params == {"network.width": "32", "half_life": "None"}
    assert complete.data.metrics["mean_ndcg_at_10"] == 0.25
    assert complete.info.end_time - complete.info.start_time == 1_500
    assert complete.info.start_time == STARTED.timestamp() * 1_000
    assert complete.info.status == "FINISHED"
    assert pruned.data.tags["ending"] == "pruned"
    assert "mean_ndcg_at_10" not in pruned.data.metrics
    history = mlflow.MlflowClient().get_metric_history(
        complete.info.run_id, "validation_ndcg_at_10"
    )
    assert [(metric.step, metric.value) for metric in history] == [(1, 0.125), (2, 0.25)]


def test_without_a_run_nothing_is_logged(runs):
    log_trial(make_trial())
    assert runs() == []
