from importlib.metadata import distribution
from pathlib import Path

import pytest
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from mlflow.telemetry.utils import is_telemetry_disabled

from recsys_kedro import settings

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("plugin", settings.DISABLE_HOOKS_FOR_PLUGINS)
def test_disabled_plugin_is_spelled_as_it_is_installed(plugin):
    """Kedro compares names exactly and says nothing of one that it does not know."""
    assert distribution(plugin).metadata["Name"] == plugin


def test_hooks_are_ours_alone():
    """kedro-mlflow's own hook beside MlflowByField would open every run twice."""
    bootstrap_project(ROOT)
    hooks = KedroSession.create(ROOT)._hook_manager.get_plugins()
    names = {type(hook).__name__ for hook in hooks}
    assert "MlflowByField" in names
    assert not names & {"MlflowHook", "KedroTelemetryHook"}


def test_nothing_reports_home(monkeypatch):
    monkeypatch.delenv("DO_NOT_TRACK", raising=False)
    assert is_telemetry_disabled()
    assert (ROOT / ".telemetry").read_text() == "consent: false\n"


def test_project_path_is_the_same_from_the_notebooks(monkeypatch):
    monkeypatch.chdir(ROOT / "notebooks")
    assert settings.project_path() == ROOT.as_posix()
