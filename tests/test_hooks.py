import hashlib
import subprocess
from datetime import UTC, datetime
from types import SimpleNamespace

import mlflow
import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Node, pipeline
from kedro_mlflow.framework.hooks.mlflow_hook import MlflowHook

from recsys_kedro import hooks
from recsys_kedro.datasets.tables import TableDataset
from recsys_kedro.metrics.evaluation import Differences, Evaluation, Figure, TaskEvaluation
from recsys_kedro.splits import SplitOptions


def echo(value):
    return value


def context(tmp_path, **parameters):
    loader = {"parameters": parameters, "globals": {"shop": "tiny"}}
    return SimpleNamespace(config_loader=loader, project_path=tmp_path)


@pytest.fixture
def tracked(monkeypatch):
    """What is sent to MLflow while a run is open."""
    sent = SimpleNamespace(tags={}, metrics=[])
    monkeypatch.setattr(mlflow, "active_run", lambda: object())
    monkeypatch.setattr(mlflow, "set_tags", sent.tags.update)
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


def run_tags(tmp_path, dataset):
    hook = hooks.RunTags()
    hook.after_context_created(context(tmp_path))
    hook.before_pipeline_run(
        run_params={"env": None},
        pipeline=pipeline([Node(echo, "raw_events", "events", name="echo")]),
        catalog=DataCatalog({"raw_events": dataset}),
    )


def test_tags_tell_shop_and_environment(tmp_path, tracked):
    run_tags(tmp_path, MemoryDataset())
    assert tracked.tags == {"shop": "tiny", "env": "base"}


def test_raw_files_are_hashed(tmp_path, tracked):
    for name, content in (("1.csv", b"ab"), ("2.csv", b"c"), ("other.txt", b"d")):
        (tmp_path / name).write_bytes(content)
    run_tags(tmp_path, TableDataset(filepath=f"{tmp_path}/*.csv"))
    assert tracked.tags["raw_events.sha256"] == hashlib.sha256(b"abc").hexdigest()


def test_commit_and_uncommitted_changes(tmp_path):
    assert hooks.git_tags(tmp_path) == {}
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b.c"]
    (tmp_path / "file").write_text("one")
    for command in (["init", "-q"], ["add", "file"], ["commit", "-qm", "first"]):
        subprocess.run([*git, *command], check=True)
    clean = hooks.git_tags(tmp_path)
    (tmp_path / "file").write_text("two")
    assert clean["git.dirty"] == "false"
    assert hooks.git_tags(tmp_path) == {**clean, "git.dirty": "true"}


def test_epochs_become_steps(tracked):
    choice = {"epochs": [{"epoch": 1, "loss": 0.5, "ndcg@10": 0.1}, {"epoch": 2, "loss": 0.25}]}
    hooks.EpochMetrics().after_node_run({"hybrid.choice": choice, "events": object()})
    assert tracked.metrics == [
        (1, {"hybrid/loss": 0.5, "hybrid/ndcg_at_10": 0.1}),
        (2, {"hybrid/loss": 0.25}),
    ]


def test_choice_without_epochs_logs_nothing(tracked):
    hooks.EpochMetrics().after_node_run({"item_knn.choice": {"options": {}}})
    assert tracked.metrics == []


def test_nothing_is_logged_without_a_run(monkeypatch, tracked):
    monkeypatch.setattr(mlflow, "active_run", lambda: None)
    hooks.EpochMetrics().after_node_run({"hybrid.choice": {"epochs": [{"loss": 0.5}]}})
    assert tracked.metrics == []


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


def test_table_is_shown_once_and_only_with_an_evaluation(evaluation, tracked, monkeypatch, capsys):
    monkeypatch.setattr(hooks, "evaluation_table", lambda _: "the table")
    hook = hooks.EvaluationSummary()
    hook.after_pipeline_run()
    hook.after_node_run({"evaluation": evaluation})
    hook.after_pipeline_run()
    hook.after_pipeline_run()
    assert capsys.readouterr().out == "the table\n"
