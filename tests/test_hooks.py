import hashlib
import os
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import kedro
import mlflow
import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Node, pipeline
from kedro_datasets.text import TextDataset
from kedro_mlflow.framework.hooks.mlflow_hook import MlflowHook

from recsys_kedro import hooks
from recsys_kedro.datasets.tables import TableDataset
from recsys_kedro.hooks import summaries, tracking
from recsys_kedro.metrics.evaluation import Differences, Evaluation, Figure, TaskEvaluation
from recsys_kedro.monitoring.alerts import MonitoringAlerts, judge
from recsys_kedro.monitoring.figures import Figure as MonitoringFigure
from recsys_kedro.monitoring.figures import figures_by_window
from recsys_kedro.monitoring.thresholds import Threshold
from recsys_kedro.monitoring.windows import Window, Windows
from recsys_kedro.splits import SplitOptions


def echo(value):
    return value


def context(tmp_path, data="data", **parameters):
    loader = {"parameters": parameters, "globals": {"shop": "tiny", "data": data}}
    return SimpleNamespace(config_loader=loader, project_path=tmp_path)


@pytest.fixture
def tracked(monkeypatch):
    """What is sent to MLflow while a run is open."""
    sent = SimpleNamespace(tags={}, metrics=[], params={}, texts={}, files=[])
    monkeypatch.setattr(mlflow, "active_run", lambda: object())
    monkeypatch.setattr(mlflow, "set_tags", sent.tags.update)
    monkeypatch.setattr(mlflow, "log_params", sent.params.update)
    monkeypatch.setattr(mlflow, "log_text", lambda text, path: sent.texts.update({path: text}))
    monkeypatch.setattr(mlflow, "log_artifact", lambda *what: sent.files.append(what))
    monkeypatch.setattr(
        mlflow, "log_metrics", lambda metrics, step=None: sent.metrics.append((step, metrics))
    )
    return sent


def test_run_time_is_now(tmp_path):
    project = context(tmp_path, run_time=None, seed=1)
    before = datetime.now(UTC).replace(microsecond=0)
    hooks.RunTime().after_context_created(project)
    parameters = project.config_loader["parameters"]
    assert before <= datetime.fromisoformat(parameters["run_time"]) <= datetime.now(UTC)
    assert parameters["seed"] == 1


def test_configured_run_time_stays(tmp_path):
    project = context(tmp_path, run_time="2011-12-10T00:00:00+00:00")
    hooks.RunTime().after_context_created(project)
    assert project.config_loader["parameters"]["run_time"] == "2011-12-10T00:00:00+00:00"


def test_options_are_logged_by_field(monkeypatch):
    handed_on = {}
    monkeypatch.setattr(MlflowHook, "before_node_run", lambda self, **sent: handed_on.update(sent))
    hooks.MlflowByField().before_node_run(
        node=Node(echo, "params:split", "out", name="echo"),
        catalog=DataCatalog(),
        inputs={"params:split": SplitOptions(horizon_days=7), "params:seed": 3},
        is_async=False,
    )
    assert handed_on["inputs"]["params:split"]["horizon_days"] == 7
    assert handed_on["inputs"]["params:seed"] == 3


def run_tags(tmp_path, dataset, pipelines=("sampling", "training")):
    hook = hooks.RunTags()
    hook.after_context_created(context(tmp_path, run_time="2025-03-04T12:30:00+00:00"))
    hook.before_pipeline_run(
        run_params={"env": None, "pipeline_names": pipelines},
        catalog=DataCatalog({"raw_events": dataset}),
    )
    hook.after_dataset_loaded(dataset_name="raw_events")


def test_tags_tell_shop_and_environment(tmp_path, tracked):
    run_tags(tmp_path, MemoryDataset())
    name = "sampling, training 2025-03-04T12:30"
    assert tracked.tags == {"mlflow.runName": name, "shop": "tiny", "env": "base"}


@pytest.mark.parametrize("pipelines", [None, ["__default__"]])
def test_a_run_of_everything_is_called_so(tmp_path, tracked, pipelines):
    run_tags(tmp_path, MemoryDataset(), pipelines)
    assert tracked.tags["mlflow.runName"] == "everything 2025-03-04T12:30"


def test_raw_files_are_hashed(tmp_path, tracked):
    for name, content in (("1.csv", b"ab"), ("2.csv", b"c"), ("other.txt", b"d")):
        (tmp_path / name).write_bytes(content)
    run_tags(tmp_path, TableDataset(filepath=f"{tmp_path}/*.csv"))
    assert tracked.tags["raw_events.sha256"] == hashlib.sha256(b"abc").hexdigest()


def test_commit_and_uncommitted_changes(tmp_path):
    assert tracking.git_tags(tmp_path) == {}
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b.c"]
    (tmp_path / "file").write_text("one")
    for command in (["init", "-q"], ["add", "file"], ["commit", "-qm", "first"]):
        subprocess.run([*git, *command], check=True)
    clean = tracking.git_tags(tmp_path)
    (tmp_path / "file").write_text("two")
    assert clean["git.dirty"] == "false"
    assert tracking.git_tags(tmp_path) == {**clean, "git.dirty": "true"}


def test_epochs_become_steps(tracked):
    choice = {"epochs": [{"epoch": 1, "loss": 0.5, "ndcg@10": 0.1}, {"epoch": 2, "loss": 0.25}]}
    hooks.FitRecord().after_node_run({"hybrid.choice": choice, "events": object()})
    assert tracked.metrics == [
        (1, {"hybrid/loss": 0.5, "hybrid/ndcg_at_10": 0.1}),
        (2, {"hybrid/loss": 0.25}),
    ]


def test_chosen_settings_are_logged_by_field(tracked):
    settings = {"width": 16, "training": {"epochs": 5}}
    hooks.FitRecord().after_node_run({"hybrid.choice": {"settings": settings}})
    assert tracked.params == {"chosen.hybrid.width": 16, "chosen.hybrid.training.epochs": 5}


def test_choice_without_epochs_has_no_metrics(tracked):
    hooks.FitRecord().after_node_run({"item_knn.choice": {"settings": {}}})
    assert tracked.metrics == []


def test_reports_and_environment_are_kept(tmp_path, tracked):
    report = tmp_path / "08_reporting" / "report.html"
    datasets = {
        "report": TextDataset(filepath=str(report)),
        "notes": TextDataset(filepath=str(tmp_path / "notes.txt")),
        "memory": MemoryDataset(),
    }
    hook = hooks.RunRecord()
    hook.before_pipeline_run(catalog=DataCatalog(datasets))
    for name, dataset in datasets.items():
        dataset.save("text")
        hook.after_dataset_saved(dataset_name=name)
    assert tracked.files == [(str(report), "reports")]
    assert f"kedro=={kedro.__version__}\n" in tracked.texts["environment.txt"]


def test_nothing_is_logged_without_a_run(monkeypatch, tracked):
    monkeypatch.setattr(mlflow, "active_run", lambda: None)
    hooks.FitRecord().after_node_run({"hybrid.choice": {"epochs": [{"loss": 0.5}]}})
    assert tracked.metrics == []


def lock_for(tmp_path, data="data"):
    lock = hooks.RunLock()
    lock.after_context_created(context(tmp_path, data))
    return lock


def writing(*datasets):
    return pipeline([Node(echo, "raw", name, name=f"make_{name}") for name in datasets])


def test_two_runs_do_not_write_the_same(tmp_path):
    first, second = lock_for(tmp_path), lock_for(tmp_path)
    first.before_pipeline_run(pipeline=writing("events", "users"))
    who = f"process {os.getpid()} on {socket.gethostname()}"
    with pytest.raises(RuntimeError, match=rf"{who}.* writes 'users' in {tmp_path}/data"):
        second.before_pipeline_run(pipeline=writing("lists", "users"))
    first.after_pipeline_run()
    second.before_pipeline_run(pipeline=writing("lists", "users"))
    second.on_pipeline_error()
    first.before_pipeline_run(pipeline=writing("lists"))
    first.on_pipeline_error()


def test_runs_that_write_something_else_go_on(tmp_path):
    elsewhere = lock_for(tmp_path, data="data/other_shop")
    locks = [lock_for(tmp_path), lock_for(tmp_path), elsewhere]
    for lock, name in zip(locks, ("events", "report", "events"), strict=True):
        lock.before_pipeline_run(pipeline=writing(name))
    for lock in locks:
        lock.after_pipeline_run()


def test_killed_run_leaves_no_lock(tmp_path):
    program = f"""
import time
from pathlib import Path
from recsys_kedro.run_lock import locked
with locked(Path({str(tmp_path / "data")!r}), "events"):
    print("held", flush=True)
    time.sleep(60)
"""
    other = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    with other:
        assert other.stdout.readline() == b"held\n"
        lock = lock_for(tmp_path)
        with pytest.raises(RuntimeError, match=f"process {other.pid} on"):
            lock.before_pipeline_run(pipeline=writing("events"))
        other.kill()
    lock.before_pipeline_run(pipeline=writing("events"))
    lock.after_pipeline_run()


def test_object_store_has_no_lock(tmp_path):
    for _ in range(2):
        lock_for(tmp_path, data="s3://bucket/tiny").before_pipeline_run(pipeline=writing("events"))
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def evaluation():
    figures = {"ndcg@10": Figure(value=0.4, low=0.3, high=0.5)}
    task = TaskEvaluation(
        users=2,
        models={"hybrid": figures, "ease": {"ndcg@10": Figure(value=0.25)}},
        slices={},
        differences=Differences(baseline=None, models={}),
    )
    cut = datetime(2011, 11, 11, tzinfo=UTC)
    whole = Evaluation(schema_version=1, cut=cut, end=cut, tasks={"all": task})
    return whole.model_dump(mode="json")


def test_headlines_are_logged(evaluation, tracked):
    hooks.EvaluationSummary().after_node_run({"evaluation": evaluation})
    assert tracked.metrics == [
        (None, {"test/all/hybrid/ndcg_at_10": 0.4, "test/all/ease/ndcg_at_10": 0.25})
    ]


def test_experiments_are_logged_and_shown_once(tracked, monkeypatch, capsys):
    monkeypatch.setattr(summaries, "headline_figures", lambda results: {results: 1.0})
    monkeypatch.setattr(summaries, "experiments_table", lambda results: f"the table of {results}")
    hook = hooks.ExperimentSummary()
    hook.after_node_run({"events": object()})
    hook.after_pipeline_run()
    hook.after_node_run({"experiment_results": "them"})
    for _ in range(2):
        hook.after_pipeline_run()
    assert tracked.metrics == [(None, {"them": 1.0})]
    assert capsys.readouterr().out == "the table of them\n"


def test_table_is_shown_once_and_only_with_an_evaluation(evaluation, tracked, monkeypatch, capsys):
    monkeypatch.setattr(summaries, "evaluation_table", lambda _: "the table")
    hook = hooks.EvaluationSummary()
    hook.after_pipeline_run()
    hook.after_node_run({"evaluation": evaluation})
    hook.after_pipeline_run()
    hook.after_pipeline_run()
    assert capsys.readouterr().out == "the table\n"


@pytest.fixture
def day_of_monitoring():
    """The outputs of a run that judged one day."""
    end = datetime(2025, 3, 4, tzinfo=UTC)
    window = Window(end - timedelta(days=1), end)
    figures = figures_by_window(
        [window],
        lambda _: [
            MonitoringFigure("ctr", "all", 0.25, 9),
            MonitoringFigure("ctr", "device_type=mobile", 0.5, 4),
            MonitoringFigure("psi", "events.price", 0.1, 9),
            MonitoringFigure("source_share", "source=new/one", 0.2, 9),
            MonitoringFigure("conversion", "all", None, 0),
        ],
    )
    threshold = Threshold(minimum=1, alert={"below": 0.5})
    findings = judge(figures, Windows(window, window, ()), {"ctr": threshold})
    alerts = MonitoringAlerts(
        shop="tiny",
        window_start=window.start,
        window_end=window.end,
        reference_start=window.start,
        status="alert",
        findings=findings,
        examples=[],
    )
    return {"monitoring_figures": figures, "monitoring_alerts": alerts}


def test_figures_of_a_window_are_logged_at_its_time(day_of_monitoring, tracked, monkeypatch):
    logged = []
    monkeypatch.setattr(
        mlflow, "log_metrics", lambda metrics, **when: logged.append((metrics, when))
    )
    hooks.MonitoringSummary().after_node_run(day_of_monitoring)
    hours = (datetime(2025, 3, 4) - datetime(1970, 1, 1)).days * 24
    expected = {
        "monitoring/ctr": 0.25,
        "monitoring/psi/events.price": 0.1,
        "monitoring/source_share/source_new_one": 0.2,
    }
    assert logged == [(expected, {"step": hours, "timestamp": hours * 3_600_000})]


@pytest.mark.parametrize("end", ["after_pipeline_run", "on_pipeline_error"])
def test_what_is_not_fine_is_shown_also_where_the_run_fails(
    day_of_monitoring, tracked, capsys, end
):
    hook = hooks.MonitoringSummary()
    getattr(hook, end)()
    hook.after_node_run({"monitoring_alerts": day_of_monitoring["monitoring_alerts"]})
    hook.after_node_run({"events": object()})
    getattr(hook, end)()
    shown = capsys.readouterr().out
    assert "25.00%" in shown
    assert shown.count("alert") == 2  # the title and the row
    getattr(hook, end)()
    assert capsys.readouterr().out == ""
