"""What MLflow and the terminal get of a tuning."""

import mlflow
import pytest

from recsys_kedro.hooks import TuningSummary

# MLflow's own code, which makes a database here, warns of itself.
pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture
def tracking(tmp_path):
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
    mlflow.create_experiment("tiny", artifact_location=str(tmp_path / "artifacts"))
    mlflow.set_experiment("tiny")
    yield
    mlflow.set_tracking_uri(before)


def test_the_run_keeps_best_settings_gain_and_verdict(tracking, result, capsys):
    hook, best = TuningSummary(), result.trial(result.best)
    with mlflow.start_run() as run:
        hook.after_node_run({"events": object()})
        hook.after_node_run({"tuning_result": result})
    kept = mlflow.get_run(run.info.run_id).data
    assert kept.params["tuned.item_knn.neighbours"] == str(best.settings["neighbours"])
    assert kept.metrics["tuning/best"] == best.score
    assert kept.metrics["tuning/gain"] == result.gain.value
    assert kept.tags["tuning.verdict"] == result.verdict
    hook.after_pipeline_run()
    shown = capsys.readouterr().out
    assert f"{best.score:.4f}" in shown
    hook.after_pipeline_run()
    assert capsys.readouterr().out == "", "once"


def test_without_a_run_nothing_is_logged(result, capsys):
    hook = TuningSummary()
    hook.after_node_run({"tuning_result": result})
    assert mlflow.active_run() is None
    hook.after_pipeline_run()
    assert "neighbours" in capsys.readouterr().out
