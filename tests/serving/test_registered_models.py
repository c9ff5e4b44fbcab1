import subprocess
import sys
import time

import mlflow
import pytest

from recsys_kedro.serving.registered_models import missing_champion


@pytest.fixture
def database(tmp_path):
    before = mlflow.get_tracking_uri()
    path = tmp_path / "mlflow.db"
    mlflow.set_tracking_uri(f"sqlite:///{path}")
    yield path
    mlflow.set_tracking_uri(before)


def test_no_database_is_not_made(database):
    assert "train one first with `make run`" in missing_champion("recsys_shop")
    assert not database.exists()


def test_registered_without_alias_then_with(database, tmp_path):
    client = mlflow.MlflowClient()
    client.create_registered_model("recsys_shop")
    version = client.create_model_version("recsys_shop", source=(tmp_path / "m").as_uri())
    assert "no champion of recsys_shop" in missing_champion("recsys_shop")
    assert "no champion of recsys_other" in missing_champion("recsys_other")
    client.set_registered_model_alias("recsys_shop", "champion", version.version)
    assert missing_champion("recsys_shop") is None


def test_command_fails_in_one_line(tmp_path):
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "recsys_kedro.serving.launch", "recsys_shop"],
        env={"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "make run" in done.stderr
    assert time.monotonic() - start < 20
