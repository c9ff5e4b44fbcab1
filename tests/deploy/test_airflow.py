"""The DAGs in an Airflow of its own, on a copy of the project with the small simulated shop."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
AIRFLOW = ROOT / "deploy" / "airflow"
UV = ROOT / ".venv" / "bin" / "uv"
DAY = "2024-04-25"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def airflow(tmp_path_factory):
    """Runs an Airflow command; its environment is made from the requirements beside the DAGs."""
    folder = tmp_path_factory.mktemp("airflow")
    python = folder / "env" / "bin" / "python"
    _run([UV, "venv", "--python", ROOT / ".venv" / "bin" / "python", folder / "env"])
    _run([UV, "pip", "install", "--python", python, "-r", AIRFLOW / "requirements.txt"])
    for part in ("conf", "src"):
        shutil.copytree(ROOT / part, folder / "project" / part)
    shutil.copy(ROOT / "pyproject.toml", folder / "project")
    settings = {
        "AIRFLOW_HOME": folder / "home",
        "AIRFLOW__CORE__DAGS_FOLDER": AIRFLOW / "dags",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "RECSYS_PROJECT": folder / "project",
        "RECSYS_KEDRO": ROOT / ".venv" / "bin" / "kedro",
        "RECSYS_ENV": "test",
        "RECSYS_FIRST_DAY": "2024-04-01T00:00:00+00:00",
    }
    environment = {**os.environ, **{name: str(value) for name, value in settings.items()}}
    environment.pop("KEDRO_ENV", None)

    def run(*arguments):
        return _run([python.with_name("airflow"), *arguments], environment)

    run("db", "migrate")
    return run, folder / "project" / "data" / "test"


def _run(command, environment=None):
    done = subprocess.run(
        [str(part) for part in command],
        env=environment, cwd=AIRFLOW, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3_000:] + done.stderr[-3_000:]
    return done.stdout


def test_dags_are_parsed(airflow):
    run, _ = airflow
    assert "No data found" in run("dags", "list-import-errors")
    tasks = run("tasks", "list", "recsys_daily")
    for task in ("ingest", "build_features", "retrain", "evaluate", "gate", "promote"):
        assert task in tasks


def test_day_that_is_run_again_gives_the_same_evaluation(airflow):
    """The shop's log goes on after the day: the run must not have seen it."""
    run, data = airflow
    figures = []
    for _ in range(2):
        run("dags", "test", "recsys_daily", DAY)
        figures.append(json.loads((data / "08_reporting" / "evaluation.json").read_text()))
        assert json.loads((data / "08_reporting" / "registration.json").read_text())["answered"]
    assert figures[0] == figures[1]
    assert figures[0]["end"].startswith(DAY)


def test_hourly_run_refreshes_the_online_store_of_a_registered_model(airflow):
    run, data = airflow
    run("dags", "test", "recsys_hourly", DAY)
    split = json.loads((data / "04_feature" / "split.json").read_text())
    assert split["as_of"].startswith(DAY)
    assert (data / "08_reporting" / "online_store.json").is_file()
